"""An image that a row names, or holds: by a path below a folder, as bytes, or in base64."""

import base64
import binascii
import os
import posixpath
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from common.image_modes import UnreadableImage
from common.images import IMAGE_EXTENSIONS, has_image_extension, open_image
from common.urls import masked_urls
from datamodules.sample_keys import MAX_MEMBER_BYTES

SIGNATURES = {
    b"\xff\xd8": "jpg",
    b"\x89PNG": "png",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"II*\0": "tif",
    b"MM\0*": "tif",
    b"\0\0\0\x0cjP  ": "jp2",
}
BASE64_STARTS = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR")  # of JPEG, PNG, GIF and WebP


@dataclass(frozen=True)
class Picture:
    """An image that was decoded once, to be sure: its bytes, and the ending that a member takes for it."""

    ending: str
    content: bytes


def read_picture(source: Any, roots: Sequence[Path]) -> Picture:
    """An image as a row gives it.

    Args:
        source: a path, bytes, base64, or what `datasets` holds: {"bytes", "path"}.
        roots: folders that a path may start from, in order.

    Raises:
        ValueError: there is none, it is missing, leads out of the folders, or cannot be read.
    """
    held = _held(source)
    if isinstance(held, bytes):
        return _checked(held, "")
    try:
        paths = _paths(held, roots)
        found = next((path for path in paths if path.exists()), None)
        if found is None:
            raise ValueError(f"an image is missing: {held[:200]}{_like(paths)}")
        return read_file(found)
    except UnreadableImage as error:
        kind, _, detail = str(error).partition(": ")
        raise ValueError(f"{kind}: {held[:200]}" + (f", {detail}" if detail else "")) from error


def picture_file(source: Any, roots: Sequence[Path]) -> Path | None:
    """The file that `read_picture` would read; None where it would read none."""
    try:
        held = _held(source)
        paths = [] if isinstance(held, bytes) else _paths(held, roots)
        return next((path for path in paths if path.exists()), None)
    except (ValueError, OSError):
        return None


def _held(source: Any) -> bytes | str:
    """The bytes of an image where a row holds it, or the name of its file."""
    if isinstance(source, dict):
        source = source.get("bytes") or next(
            (source[k] for k in ("path", "image", "url", "file_name") if source.get(k)), None
        )
    if isinstance(source, (bytes, bytearray)):
        return bytes(source)
    if not isinstance(source, str) or not source.strip():
        raise ValueError("a row has no image")
    if source.startswith("data:") or (len(source) > 200 and source.startswith(BASE64_STARTS)):
        return _from_base64(source)
    if source.lower().startswith("file://"):
        source = unquote(source[len("file://") :])
    if "://" in source:
        raise ValueError(
            f"an image is a URL, and is to be fetched first, as by img2dataset: {masked_urls(source)[:100]}"
        )
    return source


def _paths(name: str, roots: Sequence[Path]) -> list[Path]:
    """A name below each of the folders; links are followed, wherever they lead.

    Raises:
        ValueError: the name itself leads out of one.
    """
    plain = posixpath.normpath(name.replace("\\", "/"))
    if "\0" in name:
        raise ValueError("an image's path is no path")
    for root in roots:
        absolute = PurePosixPath(plain).is_absolute()
        inside = PurePosixPath(plain).is_relative_to(os.path.abspath(root)) if absolute else True
        if not inside or plain.split("/")[0] == "..":
            raise ValueError(f"an image's path leads out of the folder: {name[:200]}")
    return [root / plain for root in roots]


def read_file(path: Path) -> Picture:
    """The image of a file; raises ValueError if it is missing, no plain file, too large, or no image."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise ValueError(f"an image is no plain file: {path.name}")
        if about.st_size > MAX_MEMBER_BYTES:
            raise ValueError(f"an image is larger than {MAX_MEMBER_BYTES >> 20} MiB")
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"an image is missing: {path.name}: {error.strerror}") from error
    return _checked(content, path.suffix.lower().lstrip("."))


def _checked(content: bytes, ending: str) -> Picture:
    if len(content) > MAX_MEMBER_BYTES:
        raise ValueError(f"an image is larger than {MAX_MEMBER_BYTES >> 20} MiB")
    open_image(content)
    if ending not in IMAGE_EXTENSIONS:
        ending = next((name for start, name in SIGNATURES.items() if content.startswith(start)), "jpg")
        ending = {b"WEBP": "webp", b"avif": "avif"}.get(content[8:12], ending)
    return Picture(ending, content)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=False)
    except (binascii.Error, ValueError) as error:
        raise ValueError("an image's base64 cannot be read") from error


def _like(paths: Sequence[Path]) -> str:
    """A hint at files of the same name and another ending, or without a URL's %20, as other copies of a set have them."""
    for path in paths:
        if (other := path.with_name(unquote(path.name))) != path and other.is_file():
            return f", though there is {other.name}"
        if path.parent.is_dir():
            beside = _images_by_stem(path.parent, path.parent.stat().st_mtime_ns)
            names = beside.get(path.stem.lower(), [])
            if there := next((name for name in names if (path.parent / name).is_file()), None):
                return f", though there is {there}"
    return ""


@lru_cache(maxsize=16)
def _images_by_stem(folder: Path, changed: int) -> dict[str, list[str]]:
    """The images of a folder by their names without ending, in lower case; listed again only once it has changed."""
    found: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder)):
        if has_image_extension(name):
            found.setdefault(PurePosixPath(name).stem.lower(), []).append(name)
    return found
