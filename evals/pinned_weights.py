"""`SOURCE@HASH`: weights that must be the ones which a report names, told by the twelve hex digits that it prints."""

import re
from pathlib import Path

HASH = re.compile(r"[0-9a-f]{12}")


def split_pin(source: str, option: str) -> tuple[str, str | None]:
    """A folder or hub name, and the hash that its weights must have, if one was given.

    Raises:
        ValueError: what follows the @ is no such hash.
    """
    if "@" not in source or Path(source).is_dir():
        return source, None
    place, _, pin = source.rpartition("@")
    if not HASH.fullmatch(pin):
        raise ValueError(
            f"{option} {source}: after @ come the twelve hex digits that a report names, not {pin!r}"
        )
    return place, pin


def check_pin(name: str, pin: str | None, option: str) -> None:
    """Makes sure that weights are those which were asked for.

    Args:
        name: what names them in a report, with their hash in brackets (`name_of`).
        pin: the hash that was asked for, or None.
        option: where it was.

    Raises:
        ValueError: they are others.
    """
    if pin is not None and not name.endswith(f"({pin})"):
        raise ValueError(
            f"{option}: these weights are {name}, and not {pin}: give those, or leave out @{pin}"
        )
