"""Sets of pictures as they lie about: a folder with what is below it, a .zip, or a .tar; archives are never unpacked.

Links are followed, whether they lead to a picture or to a folder of pictures, in folders and in tars.
"""

import logging
import stat
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from torch import Tensor

from common.images import IMAGE_EXTENSIONS, centre_square, has_image_extension, open_image
from judges.pixels import image_to_tensor

MOST_BYTES = 2**28  # of one picture: what is larger is no picture
MOST_LINKED = 10_000  # folders that links lead to, below one set
Item = TypeVar("Item")
log = logging.getLogger(__name__)


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
        ValueError: it is no archive that can be read, has names that lead out of it, or links that lead nowhere.
    """
    return scan(path)[0]


def scan(path: Path) -> tuple[list[Picture], Counter[str]]:
    """The pictures of a folder or an archive by name, and how many other files it holds, by their endings.

    Raises:
        FileNotFoundError, ValueError: as `pictures_in`.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}: give a folder of images, a .zip or a .tar")
    pictures, others = [], Counter()
    for picture in _members(path):
        name = PurePosixPath(picture.name)
        if _is_litter(name):
            continue
        if has_image_extension(name.name):
            pictures.append(picture)
        else:
            others[name.suffix.lower() or "no ending"] += 1
    if not pictures:
        shown = ", ".join(f".{ending}" for ending in IMAGE_EXTENSIONS)
        raise FileNotFoundError(f"{path} holds no images{_told(others)}: they end in {shown}")
    for picture in pictures:
        if picture.size > MOST_BYTES:
            raise ValueError(f"{picture.where} has {picture.size} bytes, which no picture has: take it away")
    return sorted(pictures, key=lambda picture: picture.name), others


def told_pictures(path: Path) -> list[Picture]:
    """The pictures of a set that somebody else has put together; a line says how many of its files are none.

    Raises:
        FileNotFoundError, ValueError: as `pictures_in`.
    """
    found, others = scan(path)
    if others:
        log.warning("%s holds %d images%s; those are left out", path, len(found), _told(others, " and"))
    return found


def others_in(path: Path) -> int:
    """How many files of a set are no images."""
    return scan(path)[1].total()


def _told(others: Counter[str], also: str = " but") -> str:
    often = sorted(others.items(), key=lambda item: (-item[1], item[0]))[:5]
    kinds = ", ".join(f"{count} {ending}" for ending, count in often)
    more = ", ..." if len(others) > 5 else ""
    return f"{also} {others.total()} files that are no images ({kinds}{more})" if others else ""


def _members(path: Path) -> Iterator[Picture]:
    """All files, whatever they hold."""
    if path.is_dir():
        return _folder(path, "", (), [0])
    if zipfile.is_zipfile(path):
        return _zip(path)
    try:
        return _tar(path, tarfile.open(path, "r:"))
    except tarfile.TarError as error:
        raise ValueError(
            f"{path} is no folder, no .zip and no plain .tar: unpack it and give the folder"
        ) from error


def _is_litter(name: PurePosixPath) -> bool:
    """Whether a system or an editor left it."""
    return any(part.startswith((".", "__MACOSX")) for part in name.parts)


def _inside(name: str, archive: Path) -> str:
    """A member's name.

    Raises:
        ValueError: it leads out of the archive.
    """
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or "\\" in name:
        raise ValueError(f"{archive} holds {name!r}, a name that leads out of it: do not trust that archive")
    return str(place)


def _folder(
    path: Path, below: str, above: tuple[tuple[int, int], ...], linked: list[int]
) -> Iterator[Picture]:
    """The files of a folder and of what is below it.

    Args:
        path: the folder.
        below: its place in the set, with a "/" behind it.
        above: the folders that it is in, by device and number: a link that leads back to one of them is not gone after.
        linked: how many folders links have led to so far.
    """
    status = path.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for file in sorted(path.iterdir()):
        name = below + file.name
        if _is_litter(PurePosixPath(file.name)):
            continue
        if file.is_dir():
            linked[0] += file.is_symlink()
            if linked[0] > MOST_LINKED:
                raise ValueError(f"{file}: links lead to more than {MOST_LINKED} folders; give fewer")
            yield from _folder(file, f"{name}/", (*above, here), linked)
        elif file.is_file():
            yield Picture(name, file.stat().st_size, str(file), file.read_bytes)
        elif file.is_symlink() and has_image_extension(file.name):
            raise ValueError(f"{file} is a link to what is not there: mend it or take it away")


def _zip(path: Path) -> Iterator[Picture]:
    archive = zipfile.ZipFile(path)  # stays open as long as its pictures are read
    for info in archive.infolist():
        name, where = _inside(info.filename, path), f"{path}:{info.filename}"
        if stat.S_ISLNK(info.external_attr >> 16) and has_image_extension(name):
            raise ValueError(
                f"{where} is a link, which is not followed in a .zip: unpack it and give the folder"
            )
        if not info.is_dir():
            yield Picture(name, info.file_size, where, _reader(archive.read, info, where))


def _tar(path: Path, archive: tarfile.TarFile) -> Iterator[Picture]:
    for info in archive:
        if info.isfile() or info.issym() or info.islnk():
            name, where = _inside(info.name.removeprefix("./"), path), f"{path}:{info.name}"
            read = _reader(lambda member: archive.extractfile(member).read(), info, where)
            yield Picture(name, info.size, where, read)


def _reader(read: Callable[[Item], bytes], member: Item, where: str) -> Callable[[], bytes]:
    def bytes_of() -> bytes:
        try:
            return read(member)
        except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, tarfile.TarError, zlib.error) as error:
            raise ValueError(f"{where} cannot be read ({error}): get the archive again") from error
        except (KeyError, AttributeError) as error:  # of a link in a tar
            raise ValueError(
                f"{where} is a link to what is not in the archive: get the archive again"
            ) from error

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
    """Its centre square (3, side, side) uint8, as training cuts it.

    Raises:
        ValueError: it cannot be read.
    """
    return image_to_tensor(centre_square(open_image(picture.read(), picture.where), side))


def spread(items: Sequence[Item], most: int | None) -> list[Item]:
    """At most so many items, evenly from all over the list."""
    if most is None or most >= len(items):
        return list(items)
    return [items[i * len(items) // most] for i in range(most)]
