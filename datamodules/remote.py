"""Remote shards (http, s3, gs, ...): local copies of them, in several tries."""

import logging
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.terminal import printable
from common.urls import masked_urls

log = logging.getLogger(__name__)

TRIES = 6
FIRST_WAIT = 0.5  # seconds before the second try; each wait is twice the last, and jittered
TIMEOUT = 30.0  # seconds without a byte after which a server has stalled


class Unreachable(OSError):
    """A remote shard could not be fetched, after all tries."""


def is_remote(path: str) -> bool:
    """Whether a path is a URL."""
    return "://" in path


def check_file_system(url: str) -> None:
    """Makes sure that there is a file system for a URL, before shards are waited for.

    Raises:
        ValueError: there is none, or its package is not installed.
    """
    import fsspec

    try:
        fsspec.get_filesystem_class(url.partition("://")[0].lower())
    except (ValueError, ImportError) as error:
        raise ValueError(f"{masked_urls(url)}: no file system for it: {error}") from error


@contextmanager
def local_copy(shard: str) -> Iterator[str]:
    """A path of the shard on this machine; a remote one is copied to a file that is removed afterwards.

    Raises:
        Unreachable: it could not be copied whole.
    """
    if not is_remote(shard):
        yield shard
        return
    folder = tempfile.mkdtemp(prefix="shard-")
    try:
        path = Path(folder) / "shard.tar"
        _fetch(shard, path)
        yield str(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fetch(url: str, path: Path) -> None:
    jitter = random.Random(url)
    for attempt in range(TRIES):
        try:
            return _download(url, path)
        except FileNotFoundError as error:  # waiting does not help
            raise Unreachable("the server has no such shard") from error
        except Exception as error:  # noqa: BLE001 - every file system has errors of its own
            reason = masked_urls(f"{type(error).__name__}: {error}".strip(": "))
            shown = printable(masked_urls(url))
            log.warning("%s: try %d of %d failed (%s)", shown, attempt + 1, TRIES, printable(reason))
            if attempt + 1 < TRIES:
                time.sleep(FIRST_WAIT * 2**attempt * (0.5 + jitter.random()))
    raise Unreachable(f"the shard could not be fetched: in {TRIES} tries, the last ended with {reason}")


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

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT, sock_read=TIMEOUT)
    return {"client_kwargs": {"timeout": timeout}}
