"""Sets of pictures as they lie about: a folder with what is below it, a .zip, or a .tar; archives are never unpacked."""

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from torch import Tensor

from evals.image_files import open_image, squared
from evals.pixels import tensor_of

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
MOST_BYTES = 2**26  # of one picture: what is larger is no picture
Item = TypeVar("Item")


@dataclass(frozen=True)
class Picture:
    """A picture of a set.

    Args:
        name: its place in the set, with "/" between folders.
        size: of its file, in bytes.
        where: what an error calls it.
        read: its bytes.
    """

    name: str
    size: int
    where: str
    read: Callable[[], bytes]

    @property
    def stem(self) -> str:
        """Its place without what kind of file it is."""
        return self.name.rpartition(".")[0]


def pictures_in(path: Path) -> list[Picture]:
    """The pictures of a folder or an archive, by name.

    Raises:
        FileNotFoundError: there is no such thing, or no picture in it.
        ValueError: it is no archive that can be read, or has names that lead out of it.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}: give a folder of images, a .zip or a .tar")
    found = sorted(_members(path), key=lambda picture: picture.name)
    if not found:
        raise FileNotFoundError(f"{path} holds no images: they end in {', '.join(ENDINGS)}")
    for picture in found:
        if picture.size > MOST_BYTES:
            raise ValueError(f"{picture.where} has {picture.size} bytes, which no picture has: take it away")
    return found


def _members(path: Path) -> Iterator[Picture]:
    if path.is_dir():
        return _folder(path)
    if zipfile.is_zipfile(path):
        return _zip(path)
    try:
        return _tar(path, tarfile.open(path, "r:"))
    except tarfile.TarError as error:
        raise ValueError(
            f"{path} is no folder, no .zip and no plain .tar: unpack it and give the folder"
        ) from error


def _is_picture(name: str, archive: Path) -> bool:
    """Whether a member is a picture and no system's litter."""
    place = PurePosixPath(name)
    if not name.lower().endswith(ENDINGS) or any(
        p.startswith((".", "__MACOSX")) for p in place.parts if p != ".."
    ):
        return False
    if place.is_absolute() or ".." in place.parts or "\\" in name:
        raise ValueError(f"{archive} holds {name!r}, a name that leads out of it: do not trust that archive")
    return True


def _folder(path: Path) -> Iterator[Picture]:
    for file in path.rglob("*"):
        name = file.relative_to(path).as_posix()
        if file.is_file() and _is_picture(name, path):
            yield Picture(name, file.stat().st_size, str(file), file.read_bytes)


def _zip(path: Path) -> Iterator[Picture]:
    archive = zipfile.ZipFile(path)  # stays open as long as its pictures are read
    for info in archive.infolist():
        if not info.is_dir() and _is_picture(info.filename, path):
            where = f"{path}:{info.filename}"
            yield Picture(info.filename, info.file_size, where, _reader(archive.read, info, where))


def _tar(path: Path, archive: tarfile.TarFile) -> Iterator[Picture]:
    for info in archive:
        if info.isfile() and _is_picture(info.name.removeprefix("./"), path):
            where = f"{path}:{info.name}"
            read = _reader(lambda member: archive.extractfile(member).read(), info, where)
            yield Picture(info.name.removeprefix("./"), info.size, where, read)


def _reader(read: Callable[[Item], bytes], member: Item, where: str) -> Callable[[], bytes]:
    def bytes_of() -> bytes:
        try:
            return read(member)
        except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, tarfile.TarError, zlib.error) as error:
            raise ValueError(f"{where} cannot be read ({error}): get the archive again") from error

    return bytes_of


def by_stem(pictures: Sequence[Picture], known: Collection[str], why: str) -> dict[str, Picture]:
    """Pictures by their place without what kind of file they are.

    Raises:
        ValueError: there is one that is not `known`, which is wrong for the reason `why`, or one twice.
    """
    found: dict[str, Picture] = {}
    for picture in pictures:
        if picture.stem not in known:
            raise ValueError(f"{picture.where} is one image too many: {why}")
        if picture.stem in found:
            raise ValueError(
                f"{picture.where} is there twice, {found[picture.stem].where} too: take one away"
            )
        found[picture.stem] = picture
    return found


def check_whole(
    found: Mapping[str, Picture], wanted: Sequence[str], folder: Path, what: str
) -> list[Picture]:
    """The wanted pictures in order.

    Raises:
        FileNotFoundError: one is missing; ends with `what` to do.
    """
    if lost := [stem for stem in wanted if stem not in found]:
        raise FileNotFoundError(
            f"{folder} lacks {len(lost)} of {len(wanted)} images, the first is {lost[0]}: {what}"
        )
    return [found[stem] for stem in wanted]


def picture_width(picture: Picture) -> int:
    """How many pixels wide it is.

    Raises:
        ValueError: it cannot be read.
    """
    return open_image(picture.read(), picture.where).width


def square_of(picture: Picture, side: int) -> Tensor:
    """Its centre square (3, side, side) uint8.

    Raises:
        ValueError: it cannot be read.
    """
    return tensor_of(squared(open_image(picture.read(), picture.where), side))


def spread(items: Sequence[Item], most: int | None) -> list[Item]:
    """At most so many items, evenly from all over the list."""
    if most is None or most >= len(items):
        return list(items)
    return [items[i * len(items) // most] for i in range(most)]
