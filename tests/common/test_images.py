"""The one opener: pixels are kept wherever PIL decodes them, and what is no image is refused by name."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from benchmarks.image_seeds import encode, exif_block, png_chunk
from common.images import (
    FORMATS,
    IMAGE_EXTENSIONS,
    UnreadableImage,
    has_image_extension,
    image_info,
    open_image,
)

RNG = np.random.default_rng(0)
PHOTO = Image.fromarray(RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8))
TURN_6 = (0x0112, 3, 1, struct.pack("<H", 6))


def png_with(*chunks: tuple[bytes, bytes], before: bytes = b"IDAT") -> bytes:
    """A PNG of PHOTO with chunks put in before one of its own."""
    whole = encode(PHOTO, "png")
    place = whole.index(before) - 4
    return whole[:place] + b"".join(png_chunk(*chunk) for chunk in chunks) + whole[place:]


@pytest.mark.parametrize(
    "block",
    [
        exif_block(
            TURN_6, (0x011A, 5, 1, struct.pack("<II", 72, 0)), (0x011B, 5, 1, struct.pack("<II", 0, 0))
        ),
        exif_block(TURN_6, (0x9201, 10, 1, struct.pack("<ii", 5, 0))),
        exif_block(
            TURN_6, (0x0100, 2, 8, b"unknown\0")
        ),  # the width as words: struct.error in PIL's own transposition
        exif_block(TURN_6, (0x010F, 3, 1, struct.pack("<H", 7)), (0x011A, 2, 4, b"72 \0")),
        exif_block(TURN_6, (0x0100, 2, 8, b"unknown\0"), (0x8769, 4, 1, struct.pack("<I", 4000))),
        exif_block(TURN_6, (0x8825, 2, 8, b"nowhere\0")),
        exif_block(TURN_6, (0x927C, 7, 2**31, b"\xff\xff\xff\xff")),
    ],
)
@pytest.mark.parametrize("kind", ["jpeg", "webp", "png"])
def test_odd_exif_tags_keep_photo_and_orientation(block: bytes, kind: str):
    photo = Image.new("RGB", (64, 48), (200, 10, 10))
    assert open_image(encode(photo, kind, exif=block)).size == (48, 64)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_unknown_orientation_is_ignored(value: int):
    block = exif_block((0x0112, 3, 1, struct.pack("<H", value)))
    assert open_image(encode(PHOTO, "jpeg", exif=block)).size == PHOTO.size


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"nonsense",
        exif_block((0x0112, 2, 4, b"six\0")),
        exif_block(TURN_6)[:20],
    ],
)
def test_unreadable_exif_is_ignored(block: bytes):
    assert open_image(encode(PHOTO, "jpeg", exif=block)).size == PHOTO.size


def test_orientation_in_xmp_is_applied_and_latin_1_is_ignored():
    turned = b'<x:xmpmeta><rdf:Description tiff:Orientation="6" dc:creator="Jos\xe9"/></x:xmpmeta>'
    assert open_image(encode(PHOTO, "jpeg", xmp=turned)).size == (24, 32)
    assert open_image(encode(PHOTO, "jpeg", xmp=b"<?xpacket?>\xff\xfe\x00")).size == PHOTO.size


@pytest.mark.parametrize("turn", range(1, 9))
def test_all_eight_orientations(turn: int):
    photo = Image.new("L", (64, 32))
    photo.paste(255, (0, 0, 32, 16))  # white where the stored image begins
    made = np.asarray(
        open_image(encode(photo, "png", exif=exif_block((0x0112, 3, 1, struct.pack("<H", turn)))))
    )[..., 0]
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert made.shape == ((64, 32) if turn > 4 else (32, 64)) and made[corner[turn]] == 255


BOMB = zlib.compress(bytes(80 << 20))


@pytest.mark.parametrize(
    ("chunk", "before"),
    [
        ((b"zTXt", b"note\0\0" + BOMB), b"IDAT"),
        ((b"iTXt", b"note\0\1\0\0\0" + BOMB), b"IEND"),
        ((b"iCCP", b"name\0\0" + BOMB), b"IDAT"),
        ((b"iCCP", b"name\0\7" + b"no such compression"), b"IDAT"),
        ((b"gAMA", b"1"), b"IDAT"),
        ((b"pHYs", b"12"), b"IDAT"),
        ((b"eXIf", b"MM nonsense"), b"IEND"),
    ],
)
def test_damaged_metadata_of_a_png_keeps_its_pixels(chunk: tuple[bytes, bytes], before: bytes):
    assert np.array_equal(np.asarray(open_image(png_with(chunk, before=before))), np.asarray(PHOTO))


def test_a_wrong_checksum_of_a_png_comment_keeps_its_pixels():
    damaged = png_with((b"tEXt", b"note\0abc")).replace(b"abc", b"abd")
    with pytest.raises((SyntaxError, UnidentifiedImageError)):  # PIL alone
        Image.open(io.BytesIO(damaged)).load()
    assert np.array_equal(np.asarray(open_image(damaged)), np.asarray(PHOTO))


def test_extensions_are_all_that_pil_reads_in_process():
    Image.init()
    registered = {end[1:] for end, kind in Image.registered_extensions().items() if kind in (*FORMATS, "MPO")}
    assert registered <= set(IMAGE_EXTENSIONS) and set(FORMATS) <= set(Image.OPEN)
    assert len(set(IMAGE_EXTENSIONS)) == len(IMAGE_EXTENSIONS)
    out = {"EPS", "WMF", "IPTC", "FITS", "FPX", "MIC", "BUFR", "GRIB", "HDF5", "MPEG"}
    assert set(Image.OPEN) - set(FORMATS) <= out


@pytest.mark.parametrize(
    "name", ["a.JPG", "b.JPEG", "c.jfif", "d.gif", "e.Bmp", "f.tif", "g.avif", "h.jpe", "0.JP2"]
)
def test_an_extension_may_be_in_any_case(name: str):
    assert has_image_extension(name)


@pytest.mark.parametrize("name", ["png", "a.txt", "a.json", "a.pngx", "a.svg", "a.eps", "a.codes.npy", ""])
def test_other_names_are_not_of_images(name: str):
    assert has_image_extension(name) == (name == "png")


@pytest.mark.parametrize(
    "kind", ["PNG", "TIFF", "BMP", "PPM", "TGA", "SGI", "PCX", "JPEG2000", "QOI", "DDS", "WEBP"]
)
def test_lossless_formats_keep_their_pixels(kind: str):
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(np.asarray(open_image(encode(PHOTO, kind, **options))), np.asarray(PHOTO))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
def test_the_first_of_several_frames_is_read(kind: str):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    made = np.asarray(open_image(encode(frames[0], kind, save_all=True, append_images=frames[1:])))
    assert np.allclose(made.mean((0, 1)), (255, 0, 0), atol=4)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "TGA", "AVIF"])
def test_truncated_images_are_refused(kind: str):
    whole = encode(PHOTO, kind)
    with pytest.raises(UnreadableImage):
        open_image(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "it is empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
            "a git-lfs pointer: run `git lfs",
        ),
        (b"<!DOCTYPE html><html>not found</html>", "a web page"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "PostScript"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\0\0\0\x20ftypheic" + bytes(40), "HEIC"),
        (b"PK\x03\x04" + bytes(40), "an archive"),
    ],
)
def test_other_files_are_named(data: bytes, what: str):
    with pytest.raises(UnreadableImage, match=what) as caught:
        open_image(data)
    assert caught.value.reason == "no image"


def test_no_external_program_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    eps = encode(PHOTO, "EPS")
    iptc = b"\x1c\x03\x3c\x00\x02\x01\x00" + b"\x1c\x08\x0a" + struct.pack(">H", len(eps)) + eps
    for data in (eps, iptc):
        with pytest.raises(UnreadableImage, match="no image"):
            open_image(data)


def header(width: int, height: int) -> bytes:
    """A PNG that says that it is of a size."""
    small = encode(Image.new("RGB", (8, 8)), "PNG")
    return small[:8] + png_chunk(b"IHDR", struct.pack(">II", width, height) + small[24:29]) + small[33:]


@pytest.mark.parametrize(
    ("width", "height"), [(50_000, 50_000), (10_000, 7_000), (1, 60_000_000), (1, 2_000_000_000)]
)
def test_huge_sides_are_refused_before_they_are_decoded(width: int, height: int):
    with pytest.raises(UnreadableImage, match=f"too many pixels: {width} x {height}|exceeds limit") as caught:
        open_image(header(width, height))
    assert caught.value.reason == "too many pixels"


def test_a_progressive_jpeg_of_thousands_of_scans_is_refused():
    whole = encode(Image.new("RGB", (2000, 2000)), "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    with pytest.raises(UnreadableImage, match="too many pixels"):
        open_image(whole[:-2] + last * 1000 + whole[-2:])


@pytest.mark.parametrize("size", [(20_000_000, 1), (1, 20_000_000), (7700, 7800)])
def test_the_largest_images_take_less_than_500_mb(size: tuple[int, int]):
    """In a process of its own, as the most memory of one that has lived is not this image's."""
    code = r"""
import resource, struct, zlib
from common.images import open_image
width, height = SIZE
def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
rows = zlib.compressobj(1)
blocks = [bytes(width + 1)] * height if width > 1 else [bytes(2 * height)]
packed = b"".join(map(rows.compress, blocks))
data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", packed + rows.flush()) + chunk(b"IEND", b"")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert open_image(data).size == SIZE
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    said = subprocess.run(
        [sys.executable, "-c", code.replace("SIZE", str(size))], capture_output=True, text=True, check=True
    )
    assert int(said.stdout) < 500_000


def test_files_and_opened_images_are_opened_alike(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(encode(PHOTO, "PNG", exif=exif_block(TURN_6)))
    with Image.open(tmp_path / "a.png") as opened:
        assert np.array_equal(np.asarray(open_image(opened)), np.asarray(open_image(tmp_path / "a.png")))
    with pytest.raises(FileNotFoundError):
        open_image(tmp_path / "none.png")


def test_info_is_of_the_file():
    frames = [Image.new("L", (9, 7), n) for n in (0, 200)]
    info = image_info(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert (info.width, info.height, info.frames, info.turned) == (9, 7, 2, False)
    assert image_info(encode(PHOTO, "JPEG", exif=exif_block(TURN_6))).turned
    assert image_info(png_with((b"zTXt", b"note\0\0" + BOMB))).mode == "RGB"


def j2k(side: int) -> bytes:
    """A JPEG 2000 codestream that says that it is a square of this side."""
    whole = encode(Image.new("RGB", (32, 32)), "JPEG2000", no_jp2=True)
    at = whole.index(b"\xff\x51") + 6  # SIZ: length and capabilities, then width and height
    sides = struct.pack(">II", side, side)
    return whole[:at] + sides + whole[at + 8 : at + 16] + sides + whole[at + 24 :]


def icns(*icons: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack(">I", 8 + len(content)) + content for kind, content in icons)
    return b"icns" + struct.pack(">I", 8 + len(body)) + body


def blp(jpeg: bytes, size: int) -> bytes:
    """A BLP of the first kind, which wraps a JPEG."""
    head = b"BLP1" + struct.pack("<iIIIiI", 0, 0, size, size, 5, 0)
    places = struct.pack("<32I", 160, *[0] * 15, len(jpeg), *[0] * 15)
    return head + places + struct.pack("<I", 0) + jpeg


def large_jpeg(side: int) -> bytes:
    """A JPEG whose header says that it is a square of this side."""
    whole = encode(Image.new("RGB", (16, 16)), "JPEG", progressive=True)
    at = whole.index(b"\xff\xc2") + 5
    return whole[:at] + struct.pack(">HH", side, side) + whole[at + 4 :]


def test_images_within_icons_and_textures_are_bounded():
    """Their outer header says 512 or 16 pixels, and 800 MB would be taken."""
    assert open_image(icns((b"ic08", j2k(32)))).size == (32, 32)
    assert open_image(blp(encode(Image.new("RGB", (16, 16)), "JPEG"), 16)).size == (16, 16)
    for content in (icns((b"ic09", j2k(6400))), blp(large_jpeg(7500), 16)):
        with pytest.raises(UnreadableImage, match="too many pixels: (6400|7500) x") as caught:
            open_image(content)
        assert caught.value.reason == "too many pixels"


def test_decoders_written_in_python_are_bounded_in_time():
    """A plain PPM, QOI or uncompressed DDS takes 2 to 3 microseconds a pixel."""
    small, large = Image.new("RGB", (64, 48)), Image.new("RGB", (2400, 1800))
    for kind in ("QOI", "DDS", "BLP"):
        assert open_image(encode(small.quantize() if kind == "BLP" else small, kind)).size == (64, 48)
    for content in (encode(large, "QOI"), encode(large, "DDS"), b"P3 2400 1800 255 "):
        with pytest.raises(UnreadableImage, match="2400 x 1800 in .*: make it a PNG first") as caught:
            open_image(content)
        assert caught.value.reason == "too slow to decode"
