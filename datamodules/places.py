"""Where shards are: folders, brace patterns, URLs, lists of these; and a local copy of those that are far away."""

import json
import logging
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import webdataset as wds

log = logging.getLogger(__name__)

TRIES = 6
FIRST_WAIT = 0.5  # seconds before the second try; each wait is twice the last, and jittered
SILENCE = 30.0  # seconds without a byte after which a server has stalled


class Unreachable(OSError):
    """A remote shard could not be had, after all tries."""


def is_remote(place: str) -> bool:
    """Whether a place is a URL (http, s3, gs, ...) and not a path."""
    return "://" in place


def find_shards(places: str | Sequence[str]) -> list[str]:
    """The shards of folders, brace patterns and URLs, in order: a folder's are all its tars, sorted by name.

    A shard that a pattern or list names and that is not there stays in the list: reading counts it as missing.

    Raises:
        FileNotFoundError: not one of a place's shards is there.
    """
    found: list[str] = []
    for place in [places] if isinstance(places, str) else places:
        if is_remote(place):
            found += wds.shardlists.expand_urls(place)
            continue
        if Path(place).is_dir():
            shards = sorted(str(path) for path in Path(place).glob("*.tar"))
        else:
            shards = list(wds.shardlists.expand_urls(place))
            shards = shards if any(Path(shard).is_file() for shard in shards) else []
        if not shards:
            raise FileNotFoundError(f"no shards at {place}: {_maker(place)}")
        found += shards
    return found


def _maker(place: str) -> str:
    """What to do where there are no shards."""
    if "playground" in place:
        return (
            "make the playground's with `python -m playground.shards --out runs/playground/data --scale 0.6`"
        )
    return "put yours there, or name others in the config's `data` (docs/data.md has public sets)"


def declared(shard: str) -> int | None:
    """How many samples a local shard should hold, as the index.json beside it says; None where none says so."""
    index = Path(shard).parent / "index.json"
    if is_remote(shard) or not index.is_file():
        return None
    entry = _shards_of(index, index.stat().st_mtime_ns).get(Path(shard).name)
    entry = entry.get("samples") if isinstance(entry, dict) else entry
    return entry if isinstance(entry, int) else None


@lru_cache(maxsize=16)
def _shards_of(index: Path, changed: int) -> dict[str, Any]:
    """What an index.json says of its shards, read once for each of its versions."""
    try:
        shards = json.loads(index.read_text(encoding="utf-8"))["shards"]
    except (ValueError, KeyError, TypeError):
        return {}
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
            reason = f"{type(error).__name__}: {error}".strip(": ")
            log.warning("%s: try %d of %d failed (%s)", url, attempt + 1, TRIES, reason)
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
