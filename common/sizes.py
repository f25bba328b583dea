"""Sizes that settings give."""


def check_sizes(kind: str, least: int = 1, **given: int) -> None:
    """Raises ValueError where a size is below the least that it can be; `kind` says whose they are."""
    for name, value in given.items():
        if value < least:
            raise ValueError(f"{kind}: {name} is {value}, and must be {least} or more")
