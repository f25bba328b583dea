"""Sets of images: a folder with what is below it, a .zip, or a .tar; archives are never unpacked.

Links are followed, whether they lead to an image or to a folder of images, in folders and in tars.
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
from typing import TYPE_CHECKING, TypeVar

from common.images import IMAGE_EXTENSIONS, centre_square, has_image_extension, open_image

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

MAX_BYTES = 2**28  # of one image
MAX_LINKED_FOLDERS = 10_000  # below one set
Item = TypeVar("Item")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageFile:
    """An image file of a set."""

    name: str  # its path in the set, with "/" between folders
    size: int  # in bytes
    where: str  # what an error calls it
    read: Callable[[], bytes]

    @property
    def stem(self) -> str:
        """The path without its suffix."""
        return self.name.rpartition(".")[0]

    def open(self) -> "Image.Image":
        """The image in RGB. Raises ValueError if it cannot be read."""
        return open_image(self.read(), self.where)

    def square(self, side: int) -> "Tensor":
        """Its centre square (3, side, side) uint8, as training crops it."""
        from judges.pixels import image_to_tensor

        return image_to_tensor(centre_square(self.open(), side))


def image_files(path: Path, warn: bool = False) -> list[ImageFile]:
    """The image files of a folder or an archive, by name; `warn` logs how many of its files are no images.

    Raises:
        FileNotFoundError: there is no such set, or no image in it.
        ValueError: it is no archive that can be read, has names that lead out of it, or links that lead nowhere.
    """
    found, others = scan(path)
    if others and warn:
        log.warning("%s holds %d images and %s; those are left out", path, len(found), _counts(others))
    return found


def scan(path: Path) -> tuple[list[ImageFile], Counter[str]]:
    """The files of `image_files`, and how many others the set holds, by suffix."""
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}: give a folder of images, a .zip or a .tar")
    found, others = [], Counter[str]()
    for file in _all_files(path):
        name = PurePosixPath(file.name)
        if _is_hidden(name):
            continue
        if not has_image_extension(name.name):
            others[name.suffix.lower() or "no ending"] += 1
        elif file.size > MAX_BYTES:
            raise ValueError(f"{file.where} has {file.size} bytes, which no picture has: take it away")
        else:
            found.append(file)
    if not found:
        shown = ", ".join(f".{ending}" for ending in IMAGE_EXTENSIONS)
        but = f" but {_counts(others)}" if others else ""
        raise FileNotFoundError(f"{path} holds no images{but}: they end in {shown}")
    return sorted(found, key=lambda file: file.name), others


def _counts(others: Counter[str]) -> str:
    frequent = sorted(others.items(), key=lambda item: (-item[1], item[0]))[:5]
    kinds = ", ".join(f"{count} {ending}" for ending, count in frequent)
    return f"{others.total()} files that are no images ({kinds}{', ...' if len(others) > 5 else ''})"


def _all_files(path: Path) -> Iterator[ImageFile]:
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


def _is_hidden(name: PurePosixPath) -> bool:
    """Whether a system or an editor left it."""
    return any(part.startswith((".", "__MACOSX")) for part in name.parts)


def _check_inside(name: str, archive: Path) -> str:
    """The name of a member, unless it leads out of the archive."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise ValueError(f"{archive} holds {name!r}, a name that leads out of it: do not trust that archive")
    return str(path)


def _folder(
    path: Path, prefix: str, ancestors: tuple[tuple[int, int], ...], linked: list[int]
) -> Iterator[ImageFile]:
    """The files below a folder, with a prefix to their names.

    `ancestors` are devices and inodes of the folders that it is in: a link back to one of them is not followed. `linked`
    counts the folders that links have led to.
    """
    status = path.stat()
    inode = (status.st_dev, status.st_ino)
    if inode in ancestors:
        return
    for file in sorted(path.iterdir()):
        name = prefix + file.name
        if _is_hidden(PurePosixPath(file.name)):
            continue
        if file.is_dir():
            linked[0] += file.is_symlink()
            if linked[0] > MAX_LINKED_FOLDERS:
                raise ValueError(f"{file}: links lead to more than {MAX_LINKED_FOLDERS} folders; give fewer")
            yield from _folder(file, f"{name}/", (*ancestors, inode), linked)
        elif file.is_file():
            yield ImageFile(name, file.stat().st_size, str(file), file.read_bytes)
        elif file.is_symlink() and has_image_extension(file.name):
            raise ValueError(f"{file} is a link to what is not there: mend it or take it away")


def _zip(path: Path) -> Iterator[ImageFile]:
    archive = zipfile.ZipFile(path)  # stays open as long as its images are read
    for info in archive.infolist():
        name, where = _check_inside(info.filename, path), f"{path}:{info.filename}"
        if stat.S_ISLNK(info.external_attr >> 16) and has_image_extension(name):
            raise ValueError(
                f"{where} is a link, which is not followed in a .zip: unpack it and give the folder"
            )
        if not info.is_dir():
            yield ImageFile(name, info.file_size, where, _reader(archive.read, info, where))


def _tar(path: Path, archive: tarfile.TarFile) -> Iterator[ImageFile]:
    for info in archive:
        if info.isfile() or info.issym() or info.islnk():
            name, where = _check_inside(info.name.removeprefix("./"), path), f"{path}:{info.name}"
            read = _reader(lambda member: archive.extractfile(member).read(), info, where)
            yield ImageFile(name, info.size, where, read)


def _reader(read: Callable[[Item], bytes], member: Item, where: str) -> Callable[[], bytes]:
    def read_member() -> bytes:
        try:
            return read(member)
        except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, tarfile.TarError, zlib.error) as error:
            raise ValueError(f"{where} cannot be read ({error}): get the archive again") from error
        except (KeyError, AttributeError) as error:  # of a link in a tar
            raise ValueError(
                f"{where} is a link to what is not in the archive: get the archive again"
            ) from error

    return read_member


def by_stem(files: Sequence[ImageFile], known: Collection[str], why: str) -> dict[str, ImageFile]:
    """Image files by stem. Raises ValueError if one is not `known`, for the reason `why`, or is there twice."""
    found: dict[str, ImageFile] = {}
    for file in files:
        if file.stem not in known:
            raise ValueError(f"{file.where} is one image too many: {why}")
        if file.stem in found:
            raise ValueError(f"{file.where} is there twice, {found[file.stem].where} too: take one away")
        found[file.stem] = file
    return found


def require_all(
    found: Mapping[str, ImageFile], wanted: Sequence[str], folder: Path, do: str
) -> list[ImageFile]:
    """The wanted image files in order. Raises FileNotFoundError if one is missing; ends with what to `do`."""
    if missing := [stem for stem in wanted if stem not in found]:
        raise FileNotFoundError(
            f"{folder} lacks {len(missing)} of {len(wanted)} images, the first is {missing[0]}: {do}"
        )
    return [found[stem] for stem in wanted]
