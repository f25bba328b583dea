"""Where shards are: folders, patterns, URLs, lists of these; and a local copy of those that are far away."""

import glob
import logging
import math
import os
import random
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from braceexpand import braceexpand

from common.json_files import read_json
from common.terminal import printable
from common.urls import masked_urls
from datamodules.remote import Unreachable, check_system, is_remote

log = logging.getLogger(__name__)

TRIES = 6
FIRST_WAIT = 0.5  # seconds before the second try; each wait is twice the last, and jittered
SILENCE = 30.0  # seconds without a byte after which a server has stalled
MAX_SHARDS = 1_000_000  # that a brace pattern may name
BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?")
PACKED = re.compile(r"\.(tar\.(gz|zst|zstd|xz|bz2|lz4|lzma|br|z)|tgz|tzst|txz|tbz2?)$", re.IGNORECASE)
HELD_OUT = set("val valid validation dev test testing eval evaluation holdout held_out".split())


def find_shards(places: str | Sequence[str]) -> list[str]:
    """The shards of folders, patterns and URLs, in order: a folder's are all tars in it and below, sorted by name.

    Neither a folder nor a star reaches into folders that are held out by their name (`val`, `test`, ...): whoever wants
    them names them. What begins with a dot is left alone. A shard that braces or a list name and that is not there stays
    in the list: reading counts it as missing.

    Raises:
        FileNotFoundError: not one of a place's shards is there.
        ValueError: a place is a command, or something packed, or braces name too many.
    """
    found = [shard for place in _listed(places) for shard in _shards_at(place)[0]]
    if not found:
        raise FileNotFoundError(f"no shards are named: {_maker('')}")
    named: dict[str, str] = {}  # by the files that they lead to
    for shard in found:
        named.setdefault(shard if is_remote(shard) else os.path.realpath(shard), shard)
    if len(named) < len(found):
        twice, _ = (Counter(found) - Counter(named.values())).most_common(1)[0]
        log.warning("%s is named twice: it is read once", printable(masked_urls(twice)))
    return list(named.values())


def held_out(places: str | Sequence[str]) -> list[str]:
    """Folders with shards that `find_shards` leaves to whoever names them."""
    left = [shard for place in _listed(places) for shard in _shards_at(place)[1]]
    return sorted({os.path.dirname(shard) for shard in left})


def _listed(places: str | Sequence[str]) -> list[str]:
    return [places] if isinstance(places, str) else list(places)


def _shards_at(place: str) -> tuple[list[str], list[str]]:
    """A place's shards, and those of them that are held out."""
    if re.match(r"\s*pipe:", place, re.IGNORECASE):
        raise ValueError(
            f"{masked_urls(place)}: a command is not run: save what it gives as a file and name that, or name its URL"
        )
    if is_remote(place):
        return _remote_shards(place), []
    place = os.path.expanduser(place)
    named = [place] if os.path.exists(place) else _expanded(place)
    shards: list[str] = []
    held: list[str] = []
    missing: list[str] = []
    for name in named:
        found = _named(name)
        if found is None:
            missing.append(name)
            found = [name], []
        shards += found[0]
        held += found[1]
    if len(missing) == len(named) or not shards:
        what = (
            f"{os.path.dirname(held[0])} is held out by its name: name it itself" if held else _maker(place)
        )
        raise FileNotFoundError(f"no shards at {place}: {what}")
    return shards, held


def _named(name: str) -> tuple[list[str], list[str]] | None:
    """The shards of a folder, of a star or of one file; None where it is not there."""
    if os.path.isdir(name):
        return _below(name)
    if os.path.exists(name) or not glob.has_magic(name):
        _refuse_packed(name)
        return ([name], []) if os.path.exists(name) else None
    any_case = re.sub(r"\.tar$", ".[tT][aA][rR]", name, flags=re.IGNORECASE)
    shards: list[str] = []
    held: list[str] = []
    for path in sorted(glob.glob(any_case, recursive=True)):
        own = _below(path) if os.path.isdir(path) else ([path] if _is_shard(path) else [], [])
        starred = set(path.lower().split(os.sep)) - set(name.lower().split(os.sep))
        into = held if HELD_OUT & starred else shards
        into += own[0]
        held += own[1]
    if not shards:
        what = f"{os.path.dirname(held[0])} is held out by its name: name it itself" if held else _maker(name)
        raise FileNotFoundError(f"no shards at {name}: {what}")
    return shards, held


def _below(folder: str) -> tuple[list[str], list[str]]:
    """The tars in a folder and below it, through links, and those of them that are held out."""
    shards: list[str] = []
    held: list[str] = []
    seen: set[str] = set()  # what links lead to a second time is passed by: a loop, or a shard twice

    def fail(error: OSError) -> None:
        raise error

    for where, folders, files in os.walk(folder, followlinks=True, onerror=fail):
        if (real := os.path.realpath(where)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = os.path.relpath(where, folder).lower().split(os.sep)
        into = held if HELD_OUT.intersection(below) else shards
        for path in (os.path.join(where, name) for name in sorted(files) if not name.startswith(".")):
            if not _is_shard(path):
                continue
            if (real := os.path.realpath(path)) in seen:
                log.warning("%s is a link to a shard that is read already", printable(path))
                continue
            seen.add(real)
            into.append(path)
    return sorted(shards), held


def _is_shard(path: str) -> bool:
    """Whether a file that was found, and not named, is a shard; a packed one is refused."""
    _refuse_packed(path)
    return path.lower().endswith(".tar")


def _remote_shards(place: str) -> list[str]:
    shards = _expanded(place)
    for shard in shards:
        path = shard.partition("?")[0]
        _refuse_packed(path)
        if "*" in path or path.endswith("/"):
            raise ValueError(
                f"{masked_urls(shard)}: shards far away are not looked for: name them, as "
                f"{masked_urls(path.rpartition('/')[0])}/{{00000..00099}}.tar"
            )
    check_system(place)
    return shards


def _expanded(pattern: str) -> list[str]:
    """What a brace pattern stands for.

    Raises:
        ValueError: it cannot be read, or stands for too many.
    """
    left, many = pattern, 1
    while groups := BRACES.findall(left):  # from the innermost out; of nested ones it counts too many
        many *= math.prod(map(_count, groups))
        left = BRACES.sub("", left)
    if many > MAX_SHARDS:
        raise ValueError(
            f"{masked_urls(pattern)} names more than {MAX_SHARDS:,} shards: name a folder, or fewer"
        )
    try:
        return [name for one in pattern.split("::") for name in braceexpand(one)]
    except ValueError as error:  # braces that are not closed
        raise ValueError(
            f"{masked_urls(pattern)} is no pattern that can be read: {masked_urls(str(error))}"
        ) from error


def _count(group: str) -> int:
    """How many a group within braces stands for."""
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


def _maker(place: str) -> str:
    """What to do where there are no shards."""
    if "playground" in place:
        return "make the playground's with `python -m worlds.playground.shards --out runs/playground/data --scale 0.6`"
    return "put yours there, or name others in the config's `data` (docs/use/data.md has public sets)"


def declared(shard: str) -> int | None:
    """How many samples a local shard should hold, as the index.json beside it says; None where none says so."""
    index = Path(shard).parent / "index.json"
    if is_remote(shard) or not index.is_file():
        return None
    entry = _shards_of(index, index.stat().st_mtime_ns).get(Path(shard).name)
    entry = entry.get("samples") if isinstance(entry, dict) else entry
    return entry if isinstance(entry, int) and not isinstance(entry, bool) and entry >= 0 else None


@lru_cache(maxsize=16)
def _shards_of(index: Path, changed: int) -> dict[str, Any]:
    """What an index.json says of its shards, read once for each of its versions."""
    try:
        said = read_json(index)
    except (ValueError, OSError) as error:
        log.warning("no counts of samples: %s", printable(str(error)))
        return {}
    shards = said.get("shards") if isinstance(said, dict) else None
    return shards if isinstance(shards, dict) else {}


@contextmanager
def local(shard: str) -> Iterator[str]:
    """A path of the shard on this machine; a remote one is copied to a file that goes away afterwards.

    Raises:
        Unreachable: it could not be copied whole.
    """
    if not is_remote(shard):
        yield shard
        return
    folder = tempfile.mkdtemp(prefix="shard-")
    try:
        yield _copy(shard, Path(folder) / "shard.tar")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(url: str, path: Path) -> str:
    jitter = random.Random(url)
    for attempt in range(TRIES):
        try:
            _download(url, path)
            return str(path)
        except FileNotFoundError as error:  # it will not come into being by waiting
            raise Unreachable("the server has no such shard") from error
        except Exception as error:  # noqa: BLE001 - every file system has errors of its own
            reason = masked_urls(f"{type(error).__name__}: {error}".strip(": "))
            shown = printable(masked_urls(url))
            log.warning("%s: try %d of %d failed (%s)", shown, attempt + 1, TRIES, printable(reason))
            if attempt + 1 < TRIES:
                time.sleep(FIRST_WAIT * 2**attempt * (0.5 + jitter.random()))
    raise Unreachable(
        f"the shard could not be fetched: in {TRIES} tries, the last of which ended with {reason}"
    )


def _download(url: str, path: Path) -> None:
    import fsspec

    system, remote = fsspec.core.url_to_fs(url, **_options(url))
    # over http, aiohttp itself sees a body that is too short, and info() calls every failing server a missing file
    size = None if url.startswith("http") else system.info(remote).get("size")
    system.get_file(remote, str(path))
    if size is not None and path.stat().st_size != size:
        raise OSError(f"{path.stat().st_size} of {size} bytes came")


def _options(url: str) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        return {}
    import aiohttp

    wait = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE, sock_read=SILENCE)
    return {"client_kwargs": {"timeout": wait}}
