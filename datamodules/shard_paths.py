"""Shards by folders, patterns, URLs and lists of these, and how many samples the index.json beside them declares."""

import glob
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from braceexpand import braceexpand

from common.json_files import read_json
from common.terminal import printable
from common.urls import masked_urls
from datamodules.remote import check_file_system, is_remote

log = logging.getLogger(__name__)

MAX_SHARDS = 1_000_000  # that a brace pattern may name
BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?")
PACKED = re.compile(r"\.(tar\.(gz|zst|zstd|xz|bz2|lz4|lzma|br|z)|tgz|tzst|txz|tbz2?)$", re.IGNORECASE)
HELD_OUT = set("val valid validation dev test testing eval evaluation holdout held_out".split())


class _Found(NamedTuple):
    path: str
    held_out: bool = False


def find_shards(paths: str | Sequence[str]) -> list[str]:
    """The shards of folders, patterns and URLs, in order: a folder's are all tars in it and below, sorted by name.

    Neither a folder nor a star includes folders that are held out by their name (`val`, `test`, ...): these are to be
    named themselves. What begins with a dot is left out. A shard that braces or a list name and that is missing stays in
    the list: reading counts it.

    Raises:
        FileNotFoundError: a path has no shards.
        ValueError: a path is a command, or something packed, or braces name too many.
    """
    shards = [found.path for found in _find(paths) if not found.held_out]
    if not shards:
        raise FileNotFoundError(f"no shards are named: {_hint('')}")
    named: dict[str, str] = {}  # by the files that they lead to
    for shard in shards:
        named.setdefault(shard if is_remote(shard) else os.path.realpath(shard), shard)
    if len(named) < len(shards):
        twice, _ = (Counter(shards) - Counter(named.values())).most_common(1)[0]
        log.warning("%s is named twice: it is read once", printable(masked_urls(twice)))
    return list(named.values())


def held_out(paths: str | Sequence[str]) -> list[str]:
    """Folders with shards that `find_shards` leaves out by their names."""
    return sorted({os.path.dirname(found.path) for found in _find(paths) if found.held_out})


def _find(paths: str | Sequence[str]) -> list[_Found]:
    return [found for path in ([paths] if isinstance(paths, str) else paths) for found in _find_at(path)]


def _find_at(path: str) -> list[_Found]:
    if re.match(r"\s*pipe:", path, re.IGNORECASE):
        raise ValueError(
            f"{masked_urls(path)}: a command is not run: save what it gives as a file and name that, or name its URL"
        )
    if is_remote(path):
        return _remote_shards(path)
    path = os.path.expanduser(path)
    names = [path] if os.path.exists(path) else _expand_braces(path)
    found = [one for name in names for one in _find_named(name)]
    missing = not any(os.path.exists(name) or glob.has_magic(name) for name in names)
    _check_found(path, [] if missing else found)
    return found


def _find_named(name: str) -> list[_Found]:
    """The shards of a folder, of a star or of one file."""
    if os.path.isdir(name):
        return _find_below(name)
    if os.path.exists(name) or not glob.has_magic(name):
        _refuse_packed(name)
        return [_Found(name)]
    any_case = re.sub(r"\.tar$", ".[tT][aA][rR]", name, flags=re.IGNORECASE)
    found = []
    for path in sorted(glob.glob(any_case, recursive=True)):
        starred = bool(HELD_OUT & (set(path.lower().split(os.sep)) - set(name.lower().split(os.sep))))
        if os.path.isdir(path):
            found += [_Found(one.path, starred or one.held_out) for one in _find_below(path)]
        elif _is_shard(path):
            found.append(_Found(path, starred))
    _check_found(name, found)
    return found


def _check_found(path: str, found: Sequence[_Found]) -> None:
    if all(one.held_out for one in found):
        what = (
            f"{os.path.dirname(found[0].path)} is held out by its name: name it itself"
            if found
            else _hint(path)
        )
        raise FileNotFoundError(f"no shards at {path}: {what}")


def _find_below(folder: str) -> list[_Found]:
    """The tars in a folder and below it, through links."""
    found: list[_Found] = []
    seen: set[str] = set()  # a link to what was seen is passed by: it is a loop, or a shard twice

    def fail(error: OSError) -> None:
        raise error

    for where, folders, files in os.walk(folder, followlinks=True, onerror=fail):
        if (real := os.path.realpath(where)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        held = bool(HELD_OUT.intersection(os.path.relpath(where, folder).lower().split(os.sep)))
        for path in (os.path.join(where, name) for name in sorted(files) if not name.startswith(".")):
            if not _is_shard(path):
                continue
            if (real := os.path.realpath(path)) in seen:
                log.warning("%s is a link to a shard that is read already", printable(path))
                continue
            seen.add(real)
            found.append(_Found(path, held))
    return sorted(found)


def _is_shard(path: str) -> bool:
    """Whether a file that was found, and not named, is a shard; a packed one is refused."""
    _refuse_packed(path)
    return path.lower().endswith(".tar")


def _remote_shards(url: str) -> list[_Found]:
    shards = _expand_braces(url)
    for shard in shards:
        path = shard.partition("?")[0]
        _refuse_packed(path)
        if "*" in path or path.endswith("/"):
            raise ValueError(
                f"{masked_urls(shard)}: remote shards are not searched for: name them, as "
                f"{masked_urls(path.rpartition('/')[0])}/{{00000..00099}}.tar"
            )
    check_file_system(url)
    return list(map(_Found, shards))


def _expand_braces(pattern: str) -> list[str]:
    """All names that a brace pattern stands for.

    Raises:
        ValueError: it cannot be read, or stands for too many.
    """
    left, count = pattern, 1
    while groups := BRACES.findall(left):  # from the innermost out; of nested ones it counts too many
        count *= math.prod(map(_count, groups))
        left = BRACES.sub("", left)
    if count > MAX_SHARDS:
        raise ValueError(f"{masked_urls(pattern)} names over {MAX_SHARDS:,} shards: name a folder, or fewer")
    try:
        return [name for one in pattern.split("::") for name in braceexpand(one)]
    except ValueError as error:  # braces that are not closed
        raise ValueError(
            f"{masked_urls(pattern)} is no pattern that can be read: {masked_urls(str(error))}"
        ) from error


def _count(group: str) -> int:
    """How many names a group within braces stands for."""
    if found := RANGE.fullmatch(group):
        first, last, step = int(found[1]), int(found[2]), abs(int(found[3] or 1)) or 1
        return abs(last - first) // step + 1
    return group.count(",") + 1


def _refuse_packed(shard: str) -> None:
    unpacked = PACKED.sub(".tar", shard)
    if PACKED.search(shard) and not os.path.exists(unpacked):  # unzstd leaves what it unpacks
        raise ValueError(
            f"{masked_urls(shard)} is packed, and its samples cannot be read in any order: unpack it "
            "(gunzip, unzstd, unxz) and name the .tar"
        )


def _hint(path: str) -> str:
    """What to do where there are no shards."""
    if "playground" in path:
        return "make the playground's with `python -m worlds.playground.shards --out runs/playground/data --scale 0.6`"
    return "put yours there, or name others in the config's `data` (docs/use/data.md has public sets)"


def declared_samples(shard: str) -> int | None:
    """How many samples a local shard should hold, by the index.json beside it; None where it has none."""
    index = Path(shard).parent / "index.json"
    if is_remote(shard) or not index.is_file():
        return None
    entry = _read_index(index, index.stat().st_mtime_ns).get(Path(shard).name)
    samples = entry.get("samples") if isinstance(entry, dict) else entry
    return samples if isinstance(samples, int) and not isinstance(samples, bool) and samples >= 0 else None


@lru_cache(maxsize=16)
def _read_index(index: Path, changed: int) -> dict[str, Any]:
    """The entries of an index.json by shard, read once for each of its versions."""
    try:
        content = read_json(index)
    except (ValueError, OSError) as error:
        log.warning("no counts of samples: %s", printable(str(error)))
        return {}
    shards = content.get("shards") if isinstance(content, dict) else None
    return shards if isinstance(shards, dict) else {}
