"""Damaged images and metadata of every format through the one opener: `python -m benchmarks.image_fuzz`.

Each image is a whole one of `benchmarks/image_seeds.py` with something done to it, fixed by its seed and number. It must
open to the pixels that PIL decodes (read here a second time and otherwise: PIL's own transposition and conversion, and
the documented scaling in numpy), or be refused by the opener's own exception. What PIL decodes may be refused for
MAY_REFUSE alone. Prints JSON: refusals by reason, the most seconds and memory of one image, and every fault with the
number that makes it again (`--first N --images 1`). Exit code 1 where there is a fault.
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
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

from benchmarks.image_seeds import exif_block, seeds
from common.images import FORMATS, UnreadableImage, open_image

IMAGES = 10_000
MOST_SECONDS, MOST_MEMORY = 5.0, 500.0  # of one image; MB
MAY_REFUSE = {"too many pixels", "values of no known range", "no pixels"}  # though PIL decodes it
INTEGERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF, 60_000_000)


def damaged(number: int, seed: int, whole: Sequence[tuple[str, bytes]]) -> tuple[str, bytes]:
    """The image of a number: what it was made of and how, and its bytes."""
    rng = random.Random(f"{seed} {number}")
    name, data = rng.choice(whole)
    ways = rng.choices(list(DAMAGES), k=rng.choice((0, 1, 1, 1, 2, 4)))
    for way in ways:
        data = DAMAGES[way](data, rng) if data else data
    return f"{name}: {', '.join(ways) or 'whole'}", data


def _flip(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 3, 20))):
        out[_place(out, rng)] = rng.randrange(256)
    return bytes(out)


def _place(data: bytes | bytearray, rng: random.Random) -> int:
    """Anywhere, and half the time in the first bytes, where the headers are."""
    return rng.randrange(min(len(data), rng.choice((64, 600, len(data), len(data)))))


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _integer(data: bytes, rng: random.Random) -> bytes:
    kind = rng.choice(("<H", ">H", "<I", ">I"))
    size = struct.calcsize(kind)
    value = struct.pack(kind, rng.choice(INTEGERS) & (256**size - 1))
    start = _place(data, rng)
    return data[:start] + value + data[start + size :]


def _zeros(data: bytes, rng: random.Random) -> bytes:
    start, size = _place(data, rng), rng.randrange(1, 200)
    return data[:start] + bytes(size) + data[start + size :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    start = _place(data, rng)
    return data[:start] + rng.randbytes(rng.randrange(1, 40)) + data[start:]


def _drop(data: bytes, rng: random.Random) -> bytes:
    start = _place(data, rng)
    return data[:start] + data[start + rng.randrange(1, 40) :]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start, size = _place(data, rng), rng.randrange(1, 400)
    return data[:start] + data[start : start + size] * rng.choice((2, 50)) + data[start + size :]


def _metadata(data: bytes, rng: random.Random) -> bytes:
    """Random tags of random types where the format keeps its own: a JPEG's segment, a PNG's chunk."""
    tags = (0x0112, 0x011A, 0x0100, 0x010F, 0x8769, 0x8825, 0x9201, 0x927C, 0x0201, rng.randrange(65536))
    entries = [
        (
            rng.choice(tags),
            rng.randrange(14),
            rng.choice((0, 1, 2, 8, 2**31)),
            rng.randbytes(rng.choice((2, 4, 8))),
        )
        for _ in range(rng.randrange(1, 6))
    ]
    block = exif_block((0x0112, 3, 1, struct.pack("<H", rng.randrange(12))), *entries)
    if data.startswith(b"\xff\xd8"):
        kind, body = rng.choice(
            ((0xE1, block), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + rng.randbytes(60)))
        )
        kind, body = rng.choice(
            ((kind, body), (0xE2, b"ICC_PROFILE\0\1\1" + rng.randbytes(99)), (0xED, block))
        )
        return data[:2] + bytes((0xFF, kind)) + struct.pack(">H", len(body) + 2) + body + data[2:]
    if data.startswith(b"\x89PNG"):
        text = b"note\0\0" + zlib.compress(bytes(rng.choice((9, 2**21))))
        some = (
            (b"eXIf", block[6:]),
            (b"zTXt", text),
            (b"iCCP", text),
            (b"tEXt", rng.randbytes(30)),
            (b"pHYs", b"1"),
        )
        name, body = rng.choice(some)
        chunk = struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        place = data.find(rng.choice((b"IDAT", b"IEND"))) - 4
        return data[:place] + chunk + data[place:] if place > 0 else data
    found = data.find(b"II*\0", 8)  # an EXIF block in WebP or AVIF, of the same length
    made = block[6:][: len(data) - found]
    return data[:found] + made + data[found + len(made) :] if found > 0 else _flip(data, rng)


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flip": _flip,
    "cut": _cut,
    "integer": _integer,
    "zeros": _zeros,
    "insert": _insert,
    "drop": _drop,
    "repeat": _repeat,
    "metadata": _metadata,
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
            return _converted(_turned(image))
        return _converted(image)


def _turned(image: Image.Image) -> Image.Image:
    try:
        turn = image.getexif().get(0x0112)
    except Exception:
        return image
    pixels = {2: "h", 3: "hv", 4: "v", 5: "t", 6: "th", 7: "thv", 8: "tv"}.get(turn, "")
    for step in pixels:
        way = {"h": Image.Transpose.FLIP_LEFT_RIGHT, "v": Image.Transpose.FLIP_TOP_BOTTOM}
        image = image.transpose(way.get(step, Image.Transpose.TRANSPOSE))
    return image


def _converted(image: Image.Image) -> np.ndarray:
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


def measured(data: bytes) -> tuple[np.ndarray | str | Exception, float, float]:
    """What the opener makes of an image (its pixels, the reason of a refusal, or a fault), seconds, and MB at most."""
    before = _reset_peak()
    start = time.perf_counter()
    found: np.ndarray | str | Exception
    try:
        image = open_image(data)
        found = np.asarray(image) if image.mode == "RGB" else ValueError(f"mode {image.mode}")
    except UnreadableImage as error:
        found = error.reason
    except Exception as error:
        found = error
    return found, time.perf_counter() - start, (_peak() - before) / 1000


def _reset_peak() -> float:
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> float:
    """The most memory since the last reset, in kB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.split("VmHWM:")[1].split()[0]) * 1.024


def fuzz(images: int, seed: int = 0, first: int = 0) -> dict[str, Any]:
    """Opens so many images; what was found, as the command prints it."""
    whole = list(seeds())
    for _, data in whole:  # so that what a decoder loads once is no image's memory
        measured(data)
    kept, equal = 0, 0
    refused, formats, faults = Counter(), Counter(), []
    slowest, largest = (0.0, ""), (0.0, "")
    for number in range(first, first + images):
        name, data = damaged(number, seed, whole)
        found, seconds, memory = measured(data)
        slowest, largest = max(slowest, (seconds, name)), max(largest, (memory, name))
        formats[name.split()[0].rstrip(":")] += 1
        wanted = None if isinstance(found, str) and found in MAY_REFUSE else reference(data)
        if isinstance(found, str):
            refused[found] += 1
            if wanted is not None:
                faults.append(
                    {"number": number, "image": name, "fault": f"refused as {found}, and PIL decodes it"}
                )
        elif isinstance(found, Exception):
            faults.append({"number": number, "image": name, "fault": f"{type(found).__name__}: {found}"})
        elif wanted is None:
            kept += 1
        elif found.shape != wanted.shape or np.abs(found.astype(int) - wanted).max(initial=0) > 1:
            faults.append({"number": number, "image": name, "fault": "other pixels than PIL's"})
        else:
            equal += 1
        if seconds > MOST_SECONDS or memory > MOST_MEMORY:
            faults.append({"number": number, "image": name, "fault": f"{seconds:.1f} s, {memory:.0f} MB"})
    return {
        "images": images,
        "seed": seed,
        "first": first,
        "equal_to_pil": equal,
        "opened_where_pil_raises": kept,
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
