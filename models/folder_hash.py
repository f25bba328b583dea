"""Hashes of model folders, which name them in reports and caches; nothing here imports torch."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from common.foreign_files import check_file

MANIFEST = "illume.json"  # of a model folder, written last
CHUNK_SIZE = 2**24  # bytes
HASHED = (".safetensors", ".json", ".jinja", ".model", ".txt")
MAX_TRIES = 5  # where a folder is replaced while it is read
Read = TypeVar("Read")


def folder_hash(folder: str | Path) -> str:
    """Twelve hex digits for a model folder's weights and configs, also those that links lead to."""
    folder = Path(folder)
    return read_undisturbed(folder, lambda: _hash_folder(folder))


def _hash_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(_files(folder, (os.path.realpath(folder),))):
        digest.update(path.relative_to(folder).as_posix().encode())
        _add_file(digest, path)
    return digest.hexdigest()[:12]


def _files(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    """The files that are hashed, in a folder and those below it; a link to a folder above is not followed again."""
    for path in folder.iterdir():
        if path.is_dir():
            real = os.path.realpath(path)
            if real not in above:
                yield from _files(path, (*above, real))
        elif path.suffix in HASHED and path.name != "tokenizer_config.json":  # that one holds paths
            yield path


def hash_file(path: Path) -> str:
    """Sixteen hex digits for a file's content."""
    digest = hashlib.sha256()
    _add_file(digest, path)
    return digest.hexdigest()[:16]


def _add_file(digest: "hashlib._Hash", path: Path) -> None:
    check_file(path)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_SIZE):
            digest.update(chunk)


def read_undisturbed(folder: Path, read: Callable[[], Read]) -> Read:
    """What `read` returns while nobody replaces the folder; where somebody does, it reads again, a few times."""
    for _ in range(MAX_TRIES):
        before = _instance(folder)
        try:
            found = read()
        except Exception:
            if _instance(folder) == before:
                raise
            continue
        if _instance(folder) == before:
            return found
    raise ValueError(f"{folder} was replaced each time that it was read: wait until nobody writes there")


def _instance(folder: Path) -> tuple[int, ...] | None:
    """What tells a folder from another that takes its place: of the file that is written last in each."""
    try:
        about = os.stat(folder / MANIFEST)
    except OSError:
        return None
    return about.st_dev, about.st_ino, about.st_mtime_ns, about.st_size
