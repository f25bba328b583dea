"""Whole images of every format that the opener reads, small, for `benchmarks.image_fuzz` to damage."""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms

SIDE = 24
MODES = ("RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr", "I;16", "I", "F", "LAB")
OPTIONS: dict[str, tuple[dict[str, object], ...]] = {  # with which a format is written, beside none
    "JPEG": ({"progressive": True}, {"subsampling": 0, "quality": 30}, {"comment": b"hello"}),
    "PNG": ({"optimize": True}, {"transparency": 3}, {"dpi": (72, 72)}),
    "TIFF": tuple(
        {"compression": kind} for kind in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg", "group4", "zstd")
    ),
    "WEBP": ({"lossless": True}, {"quality": 10}),
    "GIF": ({"transparency": 1}, {"interlace": 0}),
    "JPEG2000": ({"quality_mode": "rates", "quality_layers": [20, 5]}, {"no_jp2": True}),
    "AVIF": ({"quality": 20},),
    "TGA": ({"compression": "tga_rle"},),
    "DDS": tuple({"pixel_format": kind} for kind in ("DXT1", "DXT3", "DXT5", "BC5")),
    "ICO": ({"bitmap_format": "bmp"},),
    "SGI": ({"bpc": 2},),
}
WRITTEN = tuple(
    """
    AVIF BLP BMP DDS DIB GIF ICNS ICO IM JPEG JPEG2000 MPO MSP PCX PNG PPM QOI SGI SPIDER TGA TIFF WEBP XBM
    """.split()
)
ANIMATED = ("PNG", "GIF", "WEBP", "TIFF", "AVIF", "MPO")


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """An image in a format."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def exif_block(*entries: tuple[int, int, int, bytes]) -> bytes:
    """An EXIF block of (tag, type, count, value), whose values need not be of the tag's type."""
    head = b"Exif\0\0II*\0" + struct.pack("<I", 8)
    body, extra, start = struct.pack("<H", len(entries)), b"", 8 + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in entries:
        if len(value) > 4:
            value, extra = struct.pack("<I", start + len(extra)), extra + value
        body += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    return head + body + struct.pack("<I", 0) + extra


EXIF = exif_block(
    (0x0112, 3, 1, struct.pack("<H", 6)),
    (0x011A, 5, 1, struct.pack("<II", 72, 1)),
    (0x010F, 2, 6, b"maker\0"),
    (0x8769, 4, 1, struct.pack("<I", 8)),
)


def seeds() -> Iterator[tuple[str, bytes]]:
    """Names and bytes of whole images: formats that PIL writes, in every mode and with all OPTIONS, and others."""
    Image.init()
    pictures = {mode: _picture(mode) for mode in MODES}
    for kind in WRITTEN:
        yield from _written(kind, pictures)
    yield from _by_hand(pictures["RGB"])


def _picture(mode: str) -> Image.Image:
    rng = np.random.default_rng(len(mode) + ord(mode[0]))
    rough = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    image = rough.resize((SIDE + 8, SIDE), Image.Resampling.BICUBIC)
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 200)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    if mode in ("RGBA", "LA"):
        image.putalpha(image.convert("L"))
    return image.convert(mode)


def _written(kind: str, pictures: dict[str, Image.Image]) -> Iterator[tuple[str, bytes]]:
    for mode, image in pictures.items():
        options: list[dict[str, object]] = [{}, *OPTIONS.get(kind, ())]
        if kind in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "MPO"):
            profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
            options += [{"exif": EXIF}, {"icc_profile": profile}]
        if kind in ("JPEG", "WEBP"):
            options.append({"xmp": b'<x:xmpmeta tiff:Orientation="3"/>'})
        if kind in ANIMATED:
            turned = image.transpose(Image.Transpose.ROTATE_180)
            options.append({"save_all": True, "append_images": [image, turned]})
        for number, chosen in enumerate(options):
            with contextlib.suppress(Exception):  # not every mode goes into every format with every option
                yield f"{kind} {mode} {number}", encode(image, kind, **chosen)


def _by_hand(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Formats that PIL reads and does not write."""
    width, height = image.size
    planes, pixels = [band.tobytes() for band in image.split()], image.tobytes()
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, height, width, 8, 3) + bytes(12)
    yield "PSD", head + struct.pack(">H", 0) + b"".join(planes)
    yield "SUN", struct.pack(">8I", 0x59A66A95, width, height, 24, len(pixels), 1, 0, 0) + pixels
    yield "GBR", struct.pack(">5I4sI", 28, 2, width, height, 1, b"GIMP", 10) + planes[0]
    yield "XVTHUMB", b"P7 332\n#END_OF_COMMENTS\n%d %d 255\n" % (width, height) + planes[0]
    rows = ",\n".join(f'"{"ab" * (width // 2)}"' for _ in range(height))
    xpm = f'/* XPM */\nstatic char *x[] = {{\n"{width} {height} 2 1",\n"a c #ff0000",\n"b c #0000ff",\n{rows}\n}};\n'
    yield "XPM", xpm.encode()
    yield "IMT", b"width %d\nheight %d\npixel n8\n\x0c" % (width, height) + planes[0]
    area = [0] * 65  # words are counted from 1
    area[2], area[9], area[10], area[11], area[14], area[34] = 4, height, width, 1, 1, 256
    yield "MCIDAS", struct.pack(">64I", *area[1:]) + planes[0]
    pixar = b"\200\350\0\0".ljust(416, b"\0") + struct.pack("<HH4xHH", height, width, 14, 2)
    yield "PIXAR", pixar.ljust(1024, b"\0") + pixels
    yield "PCD", (bytes(2048) + b"PCD_").ljust(96 * 2048, b"\0") + bytes(range(256)) * (768 * 512 * 3 // 512)
    yield "DCX", struct.pack("<III", 987654321, 12, 0) + encode(image, "PCX")
    icon = encode(image, "ICO", bitmap_format="bmp")
    yield "CUR", icon[:2] + b"\2\0" + icon[4:]
    frame = struct.pack("<IHH8x", 22 + len(planes[0]), 0xF1FA, 1)
    frame += struct.pack("<IH", 6 + len(planes[0]), 16) + planes[0]
    fli = struct.pack("<IHHHHHHI", 128 + len(frame), 0xAF11, 1, width, height, 8, 0, 1)
    yield "FLI", fli.ljust(128, b"\0") + frame
    texture = struct.pack("<4sIIIII", b"FTEX", 1, width, height, 1, 1) + struct.pack("<II", 1, 32)
    yield "FTEX", texture + struct.pack("<I", len(pixels)) + pixels
