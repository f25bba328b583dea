"""Looks at every sample of a shard: is it whole, would training with a template use it, is it unlike the others?"""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from PIL import Image

from common.images import image_info
from common.urls import masked_urls
from datamodules.conversations import has_dialogue
from datamodules.decode import decode_image, image_endings, sample_json, sample_text
from datamodules.fitting import learns
from datamodules.shard import BrokenShard, Sample, Shard
from datamodules.shard_paths import declared, local
from datamodules.stream import WHAT_BREAKS
from datamodules.templates import TEMPLATES

LOOK = 96  # pixels that images are decoded to for the check, and that odd ones are shown at
ODD_RATIO = 3.0  # of the sides
ODD_SIDE = 32  # pixels


@dataclass
class Fault:
    """One broken thing."""

    shard: str
    key: str
    reason: str


@dataclass
class Odd:
    """A sample that can be read and yet is unlike the others; `thumbnail` is a small JPEG where one was asked for."""

    shard: str
    key: str
    why: str
    thumbnail: bytes | None = None


@dataclass
class Examined:
    """What one shard holds."""

    shard: str
    samples: int = 0
    good: int = 0
    bytes: int = 0
    sha256: str = ""
    endings: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    odd: list[Odd] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def examine(shard: str, thumbnails: bool = False, template: str | None = None) -> Examined:
    """Reads all of a shard, decodes every image and every text; with a template, makes training's documents of it."""
    place, shard = shard, masked_urls(shard)
    found = Examined(shard)
    try:
        with local(place) as path:
            opened = Shard(path)
            found.bytes, found.sha256 = os.path.getsize(path), _sha256(path)
    except (BrokenShard, OSError) as error:
        found.faults.append(Fault(shard, "", str(error)))
        return found
    found.samples = len(opened)
    bare: list[str] = []  # keys of samples that are words alone
    for number, entry in enumerate(opened.entries):
        try:
            sample = opened.read(number)
            check(sample, template)
        except WHAT_BREAKS as error:
            if not opened.may_be_a_part(number):
                found.faults.append(Fault(shard, entry.key, str(error) or type(error).__name__))
            continue
        found.good += 1
        found.endings.update(name for name in sample if not name.startswith("__"))
        found.odd += [Odd(shard, entry.key, why, picture) for why, picture in _odd(sample, thumbnails)]
        if not image_endings(sample):
            bare.append(entry.key)
    if len(bare) < found.good / 2:  # in a set of images, not of text
        found.odd += [Odd(shard, key, "no image, where most samples have one") for key in bare]
    if opened.cut is not None:
        found.faults.append(Fault(shard, "", opened.cut))
    promised = declared(shard)
    if promised is not None and opened.cut is None and promised > len(opened):
        lost = f"the shard holds fewer samples than its index.json says: {len(opened)} of {promised}"
        found.faults.append(Fault(shard, "", lost))
    found.remarks = list(_remarks(opened, promised))
    opened.close()
    return found


def _remarks(shard: Shard, promised: int | None) -> Iterator[str]:
    """What is no fault, and is not passed over in silence."""
    if shard.dotted:
        yield (
            f"{len(shard.dotted)} samples have dots in their names, as {shard.dotted[0]!r}, and are read whole: other "
            "readers of WebDataset cut at the first dot"
        )
    if shard.ignored:
        yield f"{len(shard.ignored)} members are what a file manager leaves, and are ignored, as {shard.ignored[0]!r}"
    if promised is not None and promised < len(shard):
        yield f"index.json is of another shard: it says {promised} samples, and there are {len(shard)}"


def check(sample: Sample, template: str | None = None) -> None:
    """Whether a sample is whole: a document, a conversation, or a pair of image and words, or words alone.

    Args:
        sample: bytes by ending.
        template: whose document it must make; None: as what is in it suggests.

    Raises:
        ValueError: it is not, and why; anything of WHAT_BREAKS.
    """
    said = sample_json(sample) if "json" in sample else None
    if template is None and isinstance(said, dict) and "parts" in said:
        template = "document"
    elif template is None and has_dialogue(said):
        template = "conversation"
    if template is not None:
        if not learns(TEMPLATES[template](sample, LOOK, Random(0), 0.0)):
            raise ValueError("the document has nothing to learn")
        return
    images = image_endings(sample)
    for ending in images:
        decode_image(sample[ending], LOOK)
    texts = [ending for ending in sample if ending.rsplit(".", 1)[-1] == "txt"]
    for ending in texts:
        sample_text(sample, ending)
    if not texts and said is None:
        raise ValueError(
            "a sample has no words: neither txt nor json"
            if images
            else "a sample has neither image nor words"
        )


def _odd(sample: Sample, thumbnails: bool) -> Iterator[tuple[str, bytes | None]]:
    for ending in image_endings(sample):
        image = image_info(sample[ending])
        why = []
        sides = image.width, image.height
        if min(sides) < ODD_SIDE:
            why.append(f"only {image.width} x {image.height} pixels")
        if max(sides) > ODD_RATIO * min(sides):
            why.append(f"{image.width} x {image.height}, a narrow strip")
        if image.mode not in ("RGB", "L"):
            why.append(f"mode {image.mode}")
        if image.frames > 1:
            why.append(f"{image.frames} frames, of which the first is used")
        if image.turned:
            why.append("rotated by its EXIF")
        if len({end for end in image_endings(sample) if "." not in end}) > 1 and "." not in ending:
            why.append("more than one image, of which one is used")
        if why:
            yield ", ".join(why), _thumbnail(sample[ending]) if thumbnails else None


def _thumbnail(content: bytes) -> bytes:
    pixels = decode_image(content, LOOK).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", quality=80)
    return buffer.getvalue()


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
