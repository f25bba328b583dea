"""Dialogues of a round as samples, and the shards that they are written to."""

import io
import json
import tarfile
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from common.files import atomic, write_text
from common.tar_members import add_member
from judges.assessment import Assessment, longest_text, to_text
from models.document import Document, Draw, See, Text, assess_document, draw_document, redraw_document
from models.prompts import PLAYGROUND, Prompts

Sample = dict[str, bytes]
ImageFile = tuple[str, bytes]  # ending and content
CountTokens = Callable[[Document], int]  # of a document whose images are tensors
SHARD_SAMPLES = 500


def dialogue_sample(
    image: Tensor,
    prompt: str,
    assessment: Assessment,
    target: ImageFile | None = None,
    prompts: Prompts = PLAYGROUND,
    max_words: int | None = None,
) -> Sample:
    """One turn, an image (3, H, W) and its assessment; with a target a second turn, in which that is drawn.

    `max_words` as in `to_text`.
    """
    files, text = {"0.png": encode_png(image)}, to_text(assessment, max_words)
    if target is None:
        return _sample(assess_document("0.png", prompt, text, prompts), files)
    name = f"1.{target[0]}"
    return _sample(redraw_document("0.png", prompt, text, name, prompts), {**files, name: target[1]})


def pair_sample(prompt: str, image: ImageFile, prompts: Prompts = PLAYGROUND) -> Sample:
    """Text to image, without an assessment."""
    name = f"0.{image[0]}"
    return _sample(draw_document(prompt, name, prompts), {name: image[1]})


def fit_words(
    image: Tensor,
    prompt: str,
    assessment: Assessment,
    redraw: bool,
    prompts: Prompts,
    count_tokens: CountTokens,
    max_tokens: int,
) -> int | None:
    """How many words of each text of an assessment fit into `max_tokens` beside the images; None: not even one.

    `redraw` is whether a second turn follows, in which an image is drawn.
    """

    def too_long(words: int) -> bool:
        text = to_text(assessment, words)
        document = assess_document(image, prompt, text, prompts)
        if redraw:
            document = redraw_document(image, prompt, text, image, prompts)
        return count_tokens(document) > max_tokens

    fit = bisect_left(range(longest_text(assessment) + 1), True, key=too_long) - 1
    return None if fit < 0 else fit


def write_shards(samples: Iterator[Sample], target: Path) -> tuple[int, int]:
    """Writes all shards and their index.json; returns the number of samples, and of those with a second turn."""
    counts: dict[str, int] = {}
    second_turns = 0
    with atomic(target) as scratch:
        scratch.mkdir()
        while batch := list(islice(samples, SHARD_SAMPLES)):
            name, first = f"shard-{len(counts):05d}.tar", sum(counts.values())
            with tarfile.open(scratch / name, "w", format=tarfile.USTAR_FORMAT) as tar:
                for number, sample in enumerate(batch, first):
                    second_turns += any(member.startswith("1.") for member in sample)
                    for member, content in sample.items():
                        add_member(tar, f"{number:07d}.{member}", content)
            counts[name] = len(batch)
        write_text(scratch / "index.json", json.dumps({"shards": counts}, indent=1) + "\n")
    return sum(counts.values()), second_turns


def encode_png(image: Tensor) -> bytes:
    """An image (3, H, W) uint8 as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def _sample(document: Document, files: Sample) -> Sample:
    """A document whose images are names of members."""
    parts: list[dict[str, Any]] = []
    for part in document:
        if isinstance(part, Text):
            parts.append({"text": part.text, "learn": part.learn})
        elif isinstance(part, See | Draw):
            parts.append({"see" if isinstance(part, See) else "draw": part.image})
    return {"json": json.dumps({"parts": parts}, ensure_ascii=False).encode(), **files}
