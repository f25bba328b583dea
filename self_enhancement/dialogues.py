"""What a round of self-enhancement teaches: dialogues and pairs as samples, and the shards that they are written to."""

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
from datamodules.shard import add_member
from judges.assessment import Assessment, longest, to_text
from models.document import Document, Draw, See, Text, assess_document, draw_document, redraw_document
from models.prompts import PLAYGROUND, Prompts

Sample = dict[str, bytes]
ImageFile = tuple[str, bytes]  # ending and content
Length = Callable[[Document], int]  # tokens of a document, whose images are tensors
SHARD_SAMPLES = 500


def dialogue(
    image: Tensor,
    prompt: str,
    opinion: Assessment,
    better: ImageFile | None = None,
    prompts: Prompts = PLAYGROUND,
    words: int | None = None,
) -> Sample:
    """One turn, an image (3, H, W) and its assessment; with a better image a second, in which that is drawn.

    `words` are as in `to_text`.
    """
    files, said = {"0.png": png(image)}, to_text(opinion, words)
    document: Document = assess_document("0.png", prompt, said, prompts)
    if better is not None:
        document = redraw_document("0.png", prompt, said, f"1.{better[0]}", prompts)
        files[f"1.{better[0]}"] = better[1]
    return _sample(document, files)


def fit_words(
    image: Tensor,
    prompt: str,
    opinion: Assessment,
    again: bool,
    prompts: Prompts,
    length: Length,
    row: int,
) -> int | None:
    """How many words of each text of an opinion a row of training holds beside the images; None: not even one.

    Args:
        image: the drawing (3, H, W).
        prompt: what it was to show.
        opinion: the judge's.
        again: whether a second turn follows, in which an image is drawn.
        prompts: the words of the tasks.
        length: tokens of a document.
        row: the most tokens.
    """

    def too_long(words: int) -> bool:
        said = to_text(opinion, words)
        document = assess_document(image, prompt, said, prompts)
        if again:
            document = redraw_document(image, prompt, said, image, prompts)
        return length(document) > row

    most = longest(opinion)
    fit = bisect_left(range(most + 1), True, key=too_long) - 1
    return None if fit < 0 else fit


def plain_pair(prompt: str, image: ImageFile, prompts: Prompts = PLAYGROUND) -> Sample:
    """Text to image without a word of assessment."""
    name = f"0.{image[0]}"
    return _sample(draw_document(prompt, name, prompts), {name: image[1]})


def write_shards(samples: Iterator[Sample], target: Path) -> tuple[int, int]:
    """Writes all shards and their index.json; returns how many samples there are, and how many have a second turn."""
    counts: dict[str, int] = {}
    turns = 0
    with atomic(target) as scratch:
        scratch.mkdir()
        while part := list(islice(samples, SHARD_SAMPLES)):
            name, first = f"shard-{len(counts):05d}.tar", sum(counts.values())
            with tarfile.open(scratch / name, "w", format=tarfile.USTAR_FORMAT) as tar:
                for number, sample in enumerate(part, first):
                    turns += any(member.startswith("1.") for member in sample)
                    for member, content in sample.items():
                        add_member(tar, f"{number:07d}.{member}", content)
            counts[name] = len(part)
        write_text(scratch / "index.json", json.dumps({"shards": counts}, indent=1) + "\n")
    return sum(counts.values()), turns


def png(image: Tensor) -> bytes:
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
