"""The one opener of images: encoded bytes to eight bits of red, green and blue, upright, on white, the first frame.

Everything that opens an image opens it here: training, convert, doctor, tokenize, generate.py and all evaluations.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, IcnsImagePlugin, Image, ImageOps, UnidentifiedImageError

from common.image_modes import GROUND, UnreadableImage, rgb

MAX_MEMORY = 500_000_000  # bytes that one image may take while it is opened

# What PIL decodes by itself, in a bounded space. Not here: EPS (runs Ghostscript), WMF and EMF (drawn by Windows), IPTC
# (wraps an image of any other format), FITS (unpacks gzip without a bound), FPX and MIC (need another library), and BUFR,
# GRIB, HDF5, MPEG and PDF, of which PIL knows no more than the name.
FORMATS = tuple(
    """
    PNG JPEG WEBP GIF AVIF BMP DIB TIFF JPEG2000 PPM TGA ICO ICNS CUR PCX DCX PSD DDS QOI SGI SUN IM MSP XBM XPM
    FLI BLP FTEX GBR PCD PIXAR SPIDER MCIDAS IMT XVTHUMB
    """.split()
)
# What a file of such an image may end in, in lower case and without the dot, in folders, archives and shards alike.
# Where a sample has one image under several, the first of these is taken.
IMAGE_EXTENSIONS = tuple(
    """
    png jpg jpeg webp jpe jfif apng gif avif avifs bmp dib tif tiff jp2 j2k jpc jpf jpx j2c ppm pgm pbm pnm pfm
    tga icb vda vst ico icns cur pcx dcx psd dds qoi sgi rgb rgba bw ras im msp xbm xpm fli flc blp ftc ftu gbr
    pcd pxr mpo
    """.split()
)

_BYTES = {"WEBP": 16, "AVIF": 10, "JPEG2000": 20}  # that a pixel takes while it is decoded (measured, PIL 13)
_PROGRESSIVE, _USUAL = 10, 8  # the same of a progressive JPEG, and of the rest: decoded, and copied once
_ROW = 16  # bytes that a row takes beside its pixels, of which a tall strip has as many as pixels
_MAX_SCANS = 1_500_000_000  # scans times pixels of a JPEG; each takes about 2 ns, whatever the file's size
_MAX_SECONDS = 5
# Nanoseconds that a pixel takes in those decoders of PIL that are written in Python (measured, PIL 13).
_PYTHON = {
    "qoi": 2000,
    "dds_rgb": 3400,
    "ppm_plain": 3000,
    "ppm": 2500,
    "BLP1": 750,
    "BLP2": 750,
    "bmp_rle": 300,
}
Image.MAX_IMAGE_PIXELS = (
    MAX_MEMORY // _USUAL // 2
)  # PIL refuses twice that, also in images inside of images (ICO)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_OTHER_FILES = (
    (rb"version https://git-lfs", "it is a git-lfs pointer: run `git lfs pull`"),
    (
        rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg[^>]*>\s*)?<svg",
        "it is an SVG: make it a PNG first",
    ),
    (rb"\s*<(!doctype html|html)", "it is a web page, as a failed download leaves"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "it is PostScript, which an external program would run: make it a PNG first"),
    (rb"%PDF", "it is a PDF: make it a PNG first"),
    (
        rb"....ftyp(heic|heix|hevc|heim|heis|mif1|msf1)",
        "it is HEIC, which PIL does not read: make it a JPEG first",
    ),
    (rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", "it is a video"),
    (rb"\x76\x2f\x31\x01", "it is OpenEXR, which PIL does not read: make it a PNG first"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "it is JPEG XL, which PIL does not read: make it a PNG first"),
    (rb"\x1f\x8b|PK\x03\x04|7z\xbc\xaf", "it is an archive"),
)


def has_image_extension(name: str) -> bool:
    """Whether a file's name ends as an image's, in letters of any case."""
    return name.rpartition(".")[2].lower() in IMAGE_EXTENSIONS


def open_image(content: bytes | Path | Image.Image, where: str = "") -> Image.Image:
    """Decodes an image to 8-bit RGB: upright, on white, its first frame.

    Damaged metadata never costs an image: where PIL decodes the pixels they are kept, and it is turned as its camera says
    wherever that can be read. `rgb` turns other kinds of pixels into 8 bits.

    Args:
        content: the encoded bytes, a file, or what another library has opened with PIL.
        where: if given, every error is a plain ValueError that begins with it.

    Raises:
        UnreadableImage: it is no image, is cut short or damaged, or would take more than MAX_MEMORY.
        OSError: the file cannot be read.
    """
    try:
        return _open(_read(content) if isinstance(content, Path) else content)
    except (UnreadableImage, OSError) as error:
        if not where:
            raise
        raise ValueError(f"{where} is no image that can be read ({error}): replace it") from error


def _open(data: bytes | Image.Image) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = data if isinstance(data, Image.Image) else _decode(data)
            return rgb(upright(image))
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage("no image", _other_file(data)) from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage("too many pixels", _line(error)) from error
    except Exception as error:  # PIL's decoders raise whatever the damage leads them to
        raise UnreadableImage(
            "cut short" if "truncated" in str(error) else "damaged", _line(error)
        ) from error


def encode_image(image: Image.Image, name: str = "image.png") -> bytes:
    """Encodes an image as a file of that name: PNG, or JPEG at its best, which loses a level or two of 255."""
    buffer = io.BytesIO()
    if name.endswith(".png"):
        image.save(buffer, "png")
    else:
        image.save(buffer, "jpeg", quality=100, subsampling=0)
    return buffer.getvalue()


@dataclass(frozen=True)
class ImageInfo:
    """What an image was before it was made 8-bit RGB; width and height are as it is stored."""

    width: int
    height: int
    mode: str
    frames: int
    turned: bool


def image_info(data: bytes) -> ImageInfo:
    """What stands in the header of an image that `open_image` opens.

    Raises:
        UnreadableImage: it is no image.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except Exception:
            image = Image.open(io.BytesIO(_without_metadata(data) or data), formats=FORMATS)
        try:
            frames = getattr(image, "n_frames", 1)
        except Exception:  # the first is whole, and a later one is not
            frames = 1
        return ImageInfo(image.width, image.height, image.mode, frames, _turn(image) is not None)


def _read(path: Path) -> bytes:
    if path.stat().st_size > MAX_MEMORY:
        raise UnreadableImage("too large a file", f"{path.stat().st_size} bytes")
    return path.read_bytes()


def _decode(data: bytes) -> Image.Image:
    if not data:
        raise UnreadableImage("no image", "it is empty")
    try:
        return _load(data)
    except UnreadableImage:
        raise
    except Exception:
        bare = _without_metadata(data)
        if bare is None:
            raise
        return _load(bare)


def _load(data: bytes) -> Image.Image:
    """The pixels, once the header shows that they fit."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    _check_cost(image, data)
    for inner in _inner_images(image, data):  # whose size is not in the outer header
        with contextlib.suppress(UnidentifiedImageError):
            _check_cost(Image.open(io.BytesIO(inner), formats=("PNG", "JPEG2000", "JPEG")), inner)
    image.load()
    return image


def _inner_images(image: Image.Image, data: bytes) -> Iterator[bytes]:
    """Encoded images within an image: an ICNS's icons, and the JPEG of a BLP."""
    if isinstance(image, IcnsImagePlugin.IcnsImageFile):
        kinds = {kind for icons in IcnsImagePlugin.IcnsFile.SIZES.values() for kind, _ in icons}
        for start, length in (position for kind, position in image.icns.dct.items() if kind in kinds):
            yield data[start : start + length]
    elif data.startswith(b"BLP1\0\0\0\0"):
        start, length, header = (int.from_bytes(data[at : at + 4], "little") for at in (28, 92, 156))
        yield data[160 : 160 + header] + data[start : start + length]


def _check_cost(image: Image.Image, data: bytes) -> None:
    """Makes sure that an image that is open can be decoded in the memory and time that one may take.

    Raises:
        UnreadableImage: it cannot.
    """
    pixels = image.width * image.height
    scans = data.count(b"\xff\xda") if image.format in ("JPEG", "MPO") else 1
    cost = _PROGRESSIVE if "progressive" in image.info else _BYTES.get(image.format or "", _USUAL)
    if min(image.size) < 1:
        raise UnreadableImage("no pixels", f"{image.width} x {image.height}")
    room = len(data) + pixels * cost + max(image.size) * _ROW
    if room > MAX_MEMORY or pixels * scans > _MAX_SCANS:
        raise UnreadableImage("too many pixels", f"{image.width} x {image.height}")
    codec = image.tile[0][0] if getattr(image, "tile", None) else ""
    if pixels * _PYTHON.get(codec, 0) > _MAX_SECONDS * 1e9:
        size = f"{image.width} x {image.height} in {image.format}"
        raise UnreadableImage("too slow to decode", f"{size}: make it a PNG first")


def _without_metadata(data: bytes) -> bytes | None:
    """A PNG with nothing in it but pixels and how it is turned; None of what is no PNG.

    PIL refuses a PNG whose comments unpack to megabytes, or whose checksum of a comment is wrong.
    """
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    kept, start = [data[:8]], 8
    while start + 8 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4])
        if data[start + 4 : start + 8] in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND"):
            kept.append(data[start:end])
        start = end
    return b"".join(kept)


def _other_file(data: object) -> str:
    """What a file is that is no image."""
    head = data[:1000] if isinstance(data, bytes) else b""
    return next(
        (what for start, what in _OTHER_FILES if re.match(start, head, re.DOTALL | re.IGNORECASE)), ""
    )


def _line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def upright(image: Image.Image) -> Image.Image:
    """An image turned by its EXIF or XMP orientation; where that cannot be read, the image as it is."""
    image.load()
    turn = _turn(image)
    # not PIL's own exif_transpose, which writes the metadata anew and so fails on what it cannot write
    return image if turn is None else image.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damage elsewhere in the metadata, on which PIL raises anything
        return None
    return _TURNS.get(orientation) if isinstance(orientation, int) else None


def centre_square(image: Image.Image, side: int) -> Image.Image:
    """The centre square of an image, resized; an image of that size stays as it is."""
    if image.size == (side, side):
        return image
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + edge, top + edge))


def whole_square(image: Image.Image, side: int) -> Image.Image:
    """All of an image, resized, with ground around it; an image of that size stays as it is."""
    if image.size == (side, side):
        return image
    return ImageOps.pad(image, (side, side), Image.Resampling.BICUBIC, color=GROUND)
