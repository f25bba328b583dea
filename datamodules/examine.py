"""Examines every sample of a shard: is it whole, would training with a template use it, is it unlike the others?"""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image

from common.images import image_info
from common.urls import masked_urls
from datamodules.conversations import has_dialogue
from datamodules.decode import decode_image, image_endings, sample_json, sample_text
from datamodules.fitting import learns
from datamodules.remote import local_copy
from datamodules.shard import BrokenShard, Sample, Shard
from datamodules.shard_paths import declared_samples
from datamodules.source_stream import SAMPLE_ERRORS
from datamodules.templates import TEMPLATES, TemplateRequest

SIDE = 96  # pixels that images are decoded to for the check, and that thumbnails have
MAX_RATIO = 3.0  # of the sides of a usual image
MIN_SIDE = 32  # pixels of a usual image


@dataclass
class Fault:
    """One broken thing."""

    shard: str
    key: str
    reason: str


@dataclass
class Unusual:
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
    unusual: list[Unusual] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def examine(path: str, thumbnails: bool = False, template: str | None = None) -> Examined:
    """Reads all of a shard, decodes every image and every text; with a template, makes training's documents of it."""
    name = masked_urls(path)
    found = Examined(name)
    try:
        with local_copy(path) as local:
            shard = Shard(local)
            with open(local, "rb") as file:
                found.bytes, found.sha256 = (
                    os.path.getsize(local),
                    hashlib.file_digest(file, "sha256").hexdigest(),
                )
    except (BrokenShard, OSError) as error:
        found.faults.append(Fault(name, "", str(error)))
        return found
    found.samples = len(shard)
    without_image: list[str] = []
    for number, entry in enumerate(shard.entries):
        try:
            sample = shard.read(number)
            check_sample(sample, template)
        except SAMPLE_ERRORS as error:
            if not shard.may_be_cut(number):
                found.faults.append(Fault(name, entry.key, str(error) or type(error).__name__))
            continue
        found.good += 1
        found.endings.update(ending for ending in sample if not ending.startswith("__"))
        found.unusual += [Unusual(name, entry.key, *what) for what in _unusual_images(sample, thumbnails)]
        if not image_endings(sample):
            without_image.append(entry.key)
    if len(without_image) < found.good / 2:  # in a set of images, not of text
        why = "no image, where most samples have one"
        found.unusual += [Unusual(name, key, why) for key in without_image]
    for reason, lost in shard.faults(declared_samples(name))[0]:
        if lost:
            found.faults.append(Fault(name, "", reason))
        else:
            found.remarks.append(reason)
    if shard.ignored:
        what = f"{len(shard.ignored)} members are left by a file manager, and are ignored"
        found.remarks.append(f"{what}, as {shard.ignored[0]!r}")
    shard.close()
    return found


def check_sample(sample: Sample, template: str | None = None) -> None:
    """Makes sure that a sample is whole: a document, a dialogue, a pair of image and text, or text alone.

    Args:
        sample: bytes by ending.
        template: whose document it must make; None: the one that its content suggests.

    Raises:
        ValueError: it is not, and why; any of SAMPLE_ERRORS.
    """
    content = sample_json(sample) if "json" in sample else None
    if template is None and isinstance(content, dict) and "parts" in content:
        template = "document"
    elif template is None and has_dialogue(content):
        template = "conversation"
    if template is not None:
        if not learns(TEMPLATES[template](TemplateRequest(sample, SIDE))):
            raise ValueError("the document has nothing to learn")
        return
    images = image_endings(sample)
    for ending in images:
        decode_image(sample[ending], SIDE)
    texts = [ending for ending in sample if ending.rsplit(".", 1)[-1] == "txt"]
    for ending in texts:
        sample_text(sample, ending)
    if not texts and content is None:
        missing = "no text: neither txt nor json" if images else "neither image nor text"
        raise ValueError(f"a sample has {missing}")


def _unusual_images(sample: Sample, thumbnails: bool) -> Iterator[tuple[str, bytes | None]]:
    several = len({ending for ending in image_endings(sample) if "." not in ending}) > 1
    for ending in image_endings(sample):
        image = image_info(sample[ending])
        small, large = sorted((image.width, image.height))
        size = f"{image.width} x {image.height}"
        why = {
            f"only {size} pixels": small < MIN_SIDE,
            f"{size}, a narrow strip": large > MAX_RATIO * small,
            f"mode {image.mode}": image.mode not in ("RGB", "L"),
            f"{image.frames} frames, of which the first is used": image.frames > 1,
            "rotated by its EXIF": image.turned,
            "more than one image, of which one is used": several and "." not in ending,
        }
        if any(why.values()):
            shown = _thumbnail(sample[ending]) if thumbnails else None
            yield ", ".join(what for what, holds in why.items() if holds), shown


def _thumbnail(content: bytes) -> bytes:
    pixels = decode_image(content, SIDE).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", quality=80)
    return buffer.getvalue()
