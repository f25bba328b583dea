"""Fuzzes the opener of images with damaged files of every format: `python -m benchmarks.image_fuzz`.

Each image is a whole one of `benchmarks/image_seeds.py` that was damaged, fixed by its seed and number. It must open to
the pixels that PIL decodes (computed here in another way: PIL's own transposition and conversion, and the documented
scaling in numpy), or be refused by the opener's own exception. What PIL decodes may be refused for MAY_REFUSE alone.
Prints JSON: refusals by reason, the most seconds and memory of one image, and every fault with the number that reproduces
it (`--first N --images 1`). Exit code 1 where there is a fault.
"""

import argparse
import io
import json
import platform
import random
import struct
import sys
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

from benchmarks.harness import peak_bytes, reset_peak
from benchmarks.image_seeds import exif_block, png_chunk, seeds
from common.images import FORMATS, UnreadableImage, open_image

IMAGES = 10_000
MAX_SECONDS, MAX_MEMORY = 5.0, 500.0  # of one image; MB
MAY_REFUSE = {"too many pixels", "values of no known range", "no pixels"}  # though PIL decodes it
INTEGERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF, 60_000_000)


def damage(number: int, seed: int, whole: Sequence[tuple[str, bytes]]) -> tuple[str, bytes]:
    """The image of a number: what it was made of and how, and its bytes."""
    rng = random.Random(f"{seed} {number}")
    name, data = rng.choice(whole)
    kinds = rng.choices(list(DAMAGES), k=rng.choice((0, 1, 1, 1, 2, 4)))
    for kind in kinds:
        data = DAMAGES[kind](data, rng) if data else data
    return f"{name}: {', '.join(kinds) or 'whole'}", data


def _flip(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 3, 20))):
        out[_position(out, rng)] = rng.randrange(256)
    return bytes(out)


def _position(data: bytes | bytearray, rng: random.Random) -> int:
    """Anywhere, and half the time in the first bytes, where the headers are."""
    return rng.randrange(min(len(data), rng.choice((64, 600, len(data), len(data)))))


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _integer(data: bytes, rng: random.Random) -> bytes:
    kind = rng.choice(("<H", ">H", "<I", ">I"))
    size = struct.calcsize(kind)
    value = struct.pack(kind, rng.choice(INTEGERS) & (256**size - 1))
    start = _position(data, rng)
    return data[:start] + value + data[start + size :]


def _zeros(data: bytes, rng: random.Random) -> bytes:
    start, size = _position(data, rng), rng.randrange(1, 200)
    return data[:start] + bytes(size) + data[start + size :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    start = _position(data, rng)
    return data[:start] + rng.randbytes(rng.randrange(1, 40)) + data[start:]


def _drop(data: bytes, rng: random.Random) -> bytes:
    start = _position(data, rng)
    return data[:start] + data[start + rng.randrange(1, 40) :]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start, size = _position(data, rng), rng.randrange(1, 400)
    return data[:start] + data[start : start + size] * rng.choice((2, 50)) + data[start + size :]


def _metadata(data: bytes, rng: random.Random) -> bytes:
    """Random tags of random types where the format keeps its own: a JPEG's segment, a PNG's chunk."""
    tags = (0x0112, 0x011A, 0x0100, 0x010F, 0x8769, 0x8825, 0x9201, 0x927C, 0x0201, rng.randrange(65536))
    entries = []
    for _ in range(rng.randrange(1, 6)):
        count = rng.choice(tags), rng.randrange(14), rng.choice((0, 1, 2, 8, 2**31))
        entries.append((*count, rng.randbytes(rng.choice((2, 4, 8)))))
    block = exif_block((0x0112, 3, 1, struct.pack("<H", rng.randrange(12))), *entries)
    if data.startswith(b"\xff\xd8"):
        xmp = b"http://ns.adobe.com/xap/1.0/\0" + rng.randbytes(60)
        profile = b"ICC_PROFILE\0\1\1" + rng.randbytes(99)
        segments = ((0xE1, block), (0xE1, xmp), (0xE2, profile), (0xED, block))
        kind, body = rng.choices(segments, (1, 1, 2, 2))[0]
        return data[:2] + bytes((0xFF, kind)) + struct.pack(">H", len(body) + 2) + body + data[2:]
    if data.startswith(b"\x89PNG"):
        text = b"note\0\0" + zlib.compress(bytes(rng.choice((9, 2**21))))
        chunks = {
            b"eXIf": block[6:], b"zTXt": text, b"iCCP": text, b"tEXt": rng.randbytes(30), b"pHYs": b"1"
        }  # fmt: skip
        chunk = png_chunk(*rng.choice(list(chunks.items())))
        start = data.find(rng.choice((b"IDAT", b"IEND"))) - 4
        return data[:start] + chunk + data[start:] if start > 0 else data
    found = data.find(b"II*\0", 8)  # an EXIF block in WebP or AVIF, of the same length
    made = block[6:][: len(data) - found]
    return data[:found] + made + data[found + len(made) :] if found > 0 else _flip(data, rng)


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    function.__name__[1:]: function
    for function in (_flip, _cut, _integer, _zeros, _insert, _drop, _repeat, _metadata)
}


def reference(data: bytes) -> np.ndarray | None:
    """The pixels (H, W, 3) by PIL alone; None where it decodes none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            image.load()
        except Exception:
            return None
        try:
            image = ImageOps.exif_transpose(image)
        except Exception:  # it writes the tags anew, and fails on what it cannot write
            return _convert(_turn(image))
        return _convert(image)


def _turn(image: Image.Image) -> Image.Image:
    try:
        turn = image.getexif().get(0x0112)
    except Exception:
        return image
    flips = {"h": Image.Transpose.FLIP_LEFT_RIGHT, "v": Image.Transpose.FLIP_TOP_BOTTOM}
    for step in {2: "h", 3: "hv", 4: "v", 5: "t", 6: "th", 7: "thv", 8: "tv"}.get(turn, ""):
        image = image.transpose(flips.get(step, Image.Transpose.TRANSPOSE))
    return image


def _convert(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        most = values.max()
        unit = image.mode == "F" and most <= 1.1
        eight = image.mode == "F" and 1.1 < most <= 256
        with np.errstate(invalid="ignore"):
            grey = np.floor((values * 255 if unit else values if eight else values / 257) + 0.5)
            grey = np.nan_to_num(grey).clip(0, 255)
        hidden = image.info.get("transparency")
        if isinstance(hidden, int):
            grey[values == hidden] = 255
        return np.repeat(grey.astype(np.uint8)[..., None], 3, 2)
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return np.asarray(ImageCms.profileToProfile(image, *profiles, outputMode="RGB"))
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    try:
        layers = np.asarray(image.convert("RGBA")).astype(float)
    except Exception:
        image.info.pop("transparency")
        layers = np.asarray(image.convert("RGBA")).astype(float)
    share = layers[..., 3:] / 255
    return (layers[..., :3] * share + 255 * (1 - share) + 0.5).astype(np.uint8)


def try_opening(data: bytes) -> tuple[np.ndarray | str | Exception, float, float]:
    """What the opener returns (pixels, the reason of a refusal, or a fault), its seconds, and its peak memory in MB."""
    before, start = reset_peak(), time.perf_counter()
    found: np.ndarray | str | Exception
    try:
        image = open_image(data)
        found = np.asarray(image) if image.mode == "RGB" else ValueError(f"mode {image.mode}")
    except UnreadableImage as error:
        found = error.reason
    except Exception as error:
        found = error
    return found, time.perf_counter() - start, (peak_bytes() - before) / 1e6


def find_fault(found: np.ndarray | str | Exception, data: bytes) -> str:
    """What is wrong with what the opener returned, by PIL alone; empty if nothing is."""
    if isinstance(found, Exception):
        return f"{type(found).__name__}: {found}"
    if isinstance(found, str):
        decoded = found not in MAY_REFUSE and reference(data) is not None
        return f"refused as {found}, and PIL decodes it" if decoded else ""
    wanted = reference(data)
    if wanted is None:
        return ""
    same = found.shape == wanted.shape and np.abs(found.astype(int) - wanted).max(initial=0) <= 1
    return "" if same else "other pixels than PIL's"


def fuzz(images: int, seed: int = 0, first: int = 0) -> dict[str, Any]:
    """Opens so many damaged images; returns the findings that the command prints."""
    whole = list(seeds())
    for _, data in whole:  # so that what a decoder loads once is no image's memory
        try_opening(data)
    counts, refused, formats, faults = Counter(), Counter(), Counter(), []
    slowest, largest = (0.0, ""), (0.0, "")
    for number in range(first, first + images):
        name, data = damage(number, seed, whole)
        found, seconds, memory = try_opening(data)
        slowest, largest = max(slowest, (seconds, name)), max(largest, (memory, name))
        formats[name.split()[0].rstrip(":")] += 1
        problems = [find_fault(found, data)]
        if isinstance(found, str):
            refused[found] += 1
        elif isinstance(found, np.ndarray) and not problems[0]:
            counts["equal" if reference(data) is not None else "alone"] += 1
        if seconds > MAX_SECONDS or memory > MAX_MEMORY:
            problems.append(f"{seconds:.1f} s, {memory:.0f} MB")
        faults += [{"number": number, "image": name, "fault": problem} for problem in problems if problem]
    return {
        "images": images,
        "seed": seed,
        "first": first,
        "equal_to_pil": counts["equal"],
        "opened_where_pil_raises": counts["alone"],
        "refused": dict(refused.most_common()),
        "faults": faults,
        "worst_seconds": {"value": round(slowest[0], 3), "image": slowest[1]},
        "worst_memory_mb": {"value": round(largest[0], 1), "image": largest[1]},
        "formats": dict(formats.most_common()),
        "pillow": Image.__version__,
        "machine": platform.machine(),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.image_fuzz", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--images", type=int, default=IMAGES, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--first", type=int, default=0, help="number of the first, to make one again")
    options = parser.parse_args(arguments)
    found = fuzz(options.images, options.seed, options.first)
    print(json.dumps(found, indent=1))
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
