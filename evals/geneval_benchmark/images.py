"""GenEval's folder of images, in the layout that the official scorer reads, and drawing what is missing in it.

    DIR/drawn.json               who drew, with which seed and settings; ours, passed over by the official scorer
    DIR/00000/metadata.jsonl     the first prompt's line
    DIR/00000/samples/0000.png   its first image

Each file is there whole or not at all, and each image has a seed of its own: a command that was killed goes on with
what is missing and leaves what it would have left.
"""

import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from evals.geneval_benchmark.metadata import Prompt, parse_line
from evals.geneval_benchmark.vocabulary import GENEVAL, Vocabulary

RECORD = "drawn.json"
PICTURE = re.compile(r"(\d+)\.png")


class Place(NamedTuple):
    """Which image: of which prompt, and which of its samples."""

    prompt: int
    sample: int

    def __str__(self) -> str:
        return f"{self.prompt:05d}/samples/{self.sample:04d}.png"


class Draws(Protocol):
    """What draws, as `Illume` does."""

    def draw(self, prompts: Sequence[str], seeds: list[int], cfg: float, temperature: float) -> Tensor:
        """Images (B, 3, H, W) uint8, one for each prompt and seed."""


def write_whole(target: Path, content: bytes) -> None:
    """Writes a file whole or not at all; the scratch file beside it has a name that no scorer takes for an image."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.tmp")
    with scratch.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, target)


def read_folder(folder: Path, vocabulary: Vocabulary = GENEVAL) -> list[Prompt]:
    """The prompts of a folder of images, from its own metadata.

    Raises:
        FileNotFoundError: there is no such folder, or a prompt's is missing.
        ValueError: a prompt that is none.
    """
    numbers = sorted(_prompt_folders(folder))
    if numbers != list(range(len(numbers))) or not numbers:
        lost = min(set(range(len(numbers) + 1)) - set(numbers))
        raise FileNotFoundError(
            f"{folder} has no folder {lost:05d}: give --prompts FILE, or the folder of a whole set"
        )
    files = [path / "metadata.jsonl" for _, path in sorted(_prompt_folders(folder).items())]
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is not there: give --prompts FILE, which says what each image is of"
            )
    return [parse_line(path.read_text(encoding="utf-8"), str(path), vocabulary) for path in files]


def existing(folder: Path, prompts: Sequence[Prompt], samples: int) -> dict[Place, Path]:
    """The images that are there.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: there are images that nobody asked for, or of other prompts.
    """
    found: dict[Place, Path] = {}
    for number, place in sorted(_prompt_folders(folder).items()):
        if number >= len(prompts):
            raise ValueError(
                f"{place} is of no prompt: there are {len(prompts)}; take it away, or give its prompts"
            )
        _check_metadata(place / "metadata.jsonl", prompts[number])
        for path in sorted(place.glob("samples/*.png")):
            name = PICTURE.fullmatch(path.name)
            here = Place(number, int(name[1])) if name else None
            if here is None and not path.name.startswith("."):
                raise ValueError(f"{path} is no image of GenEval's: they are called 0000.png and so on")
            if here is not None and (here.sample >= samples or here in found):
                raise ValueError(f"{path} is one image too many: --seeds says {samples} of each prompt")
            found |= {here: path} if here is not None else {}
    return found


def _prompt_folders(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder of images {folder}: draw them with --model DIR")
    return {int(p.name): p for p in folder.iterdir() if p.is_dir() and p.name.isdecimal()}


def _check_metadata(path: Path, prompt: Prompt) -> None:
    try:
        said = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): take its folder away") from error
    if said is not None and said != json.loads(prompt.line):
        raise ValueError(
            f"{path} is of another prompt than {prompt.text!r}: give the prompts that were drawn here"
        )


def wanted(prompts: Sequence[Prompt], samples: int) -> list[Place]:
    """Every image that there should be, in order."""
    return [Place(i, j) for i in range(len(prompts)) for j in range(samples)]


def check_whole(folder: Path, found: Mapping[Place, Path], prompts: Sequence[Prompt], samples: int) -> None:
    """Makes sure that no image is missing.

    Raises:
        FileNotFoundError: one is.
    """
    places = wanted(prompts, samples)
    if lost := [place for place in places if place not in found]:
        raise FileNotFoundError(
            f"{folder} lacks {len(lost)} of {len(places)} images, the first is {lost[0]}: draw them with --model DIR, "
            "or say with --seeds N how many there are of each prompt"
        )


def read_record(folder: Path) -> dict[str, Any]:
    """Who drew the images of a folder, as it says; empty where it does not.

    Raises:
        ValueError: the record is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is no JSON ({error}): take it away to score images that others drew"
        ) from error
    if not isinstance(said, dict):
        raise ValueError(f"{path} is no record of drawing: take it away to score images that others drew")
    return said


def check_record(folder: Path, record: Mapping[str, Any], prompts: Sequence[Prompt], samples: int) -> None:
    """Makes sure that a folder's images are those that `record` would draw, or that it has none yet.

    Raises:
        ValueError: it has images of somebody else, drawn otherwise, of other prompts, or too many.
    """
    if not folder.exists():
        return
    said = read_record(folder)
    if differ := [key for key, value in record.items() if said and said.get(key) != value]:
        told = ", ".join(f"{key} {said.get(key)!r} and not {record[key]!r}" for key in differ)
        raise ValueError(f"{folder} holds images that were drawn with {told}: name another folder")
    if existing(folder, prompts, samples) and not said:
        raise ValueError(
            f"{folder} holds images but no {RECORD}, so nobody knows who drew them: leave out --model to score them"
        )


def draw_missing(
    model: Draws, folder: Path, prompts: Sequence[Prompt], record: Mapping[str, Any], batch: int
) -> Iterator[Place]:
    """Draws what is missing, a batch at a time, and yields each image's place once it is written.

    Args:
        model: draws.
        folder: where to; made if it is not there.
        prompts: what to draw.
        record: seed, samples, cfg and temperature among it; is written down.
        batch: images drawn at once.
    """
    samples, seed = record["samples"], record["seed"]
    write_whole(folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())
    for i, prompt in enumerate(prompts):
        path = folder / f"{i:05d}" / "metadata.jsonl"
        if not path.is_file():
            write_whole(path, (prompt.line + "\n").encode())
    found = existing(folder, prompts, samples)
    missing = [place for place in wanted(prompts, samples) if place not in found]
    for start in range(0, len(missing), batch):
        part = missing[start : start + batch]
        seeds = [seed_of(place, seed, samples) for place in part]
        words = [prompts[place.prompt].text for place in part]
        images = model.draw(words, seeds, cfg=record["cfg"], temperature=record["temperature"])
        for place, image in zip(part, images, strict=True):
            write_whole(folder / str(place), png(image))
            yield place


def seed_of(place: Place, seed: int, samples: int) -> int:
    """An image's own seed; those of `evals.geneval`, so that both draw the same of the same prompts."""
    return seed * 1_000_003 + place.prompt * samples + place.sample


def png(image: Tensor) -> bytes:
    """An image (3, H, W) uint8 as a file."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())).save(buffer, "png")
    return buffer.getvalue()
