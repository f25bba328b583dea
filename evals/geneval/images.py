"""GenEval's folder of images, in the layout that the official scorer reads, and drawing what is missing in it.

    DIR/drawn.json               who drew, with which seed and settings; ours, passed over by the official scorer
    DIR/00000/metadata.jsonl     the first prompt's line
    DIR/00000/samples/0000.png   its first image

What is missing is drawn as `evals/drawing.py` says, resumably and by every process its share.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common.files import write_text
from common.images import has_image_extension
from evals.drawing import Draws, Order, check_known, check_same, draws, make_missing, seed_of, write_record
from evals.geneval.metadata import Prompt, parse_line
from evals.geneval.vocabulary import GENEVAL, Vocabulary
from evals.ranks import ALONE, Ranks

PICTURE = re.compile(r"(\d+)\.\w+")


class Place(NamedTuple):
    """Which image: of which prompt, and which of its samples."""

    prompt: int
    sample: int

    def __str__(self) -> str:
        return f"{self.prompt:05d}/samples/{self.sample:04d}.png"


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
        for path in sorted(path for path in place.glob("samples/*") if has_image_extension(path.name)):
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


def check_record(folder: Path, record: Mapping[str, Any], prompts: Sequence[Prompt], samples: int) -> None:
    """Makes sure that a folder's images are those that `record` would draw, or that it has none yet.

    Raises:
        ValueError: it has images of somebody else, drawn otherwise, of other prompts, or too many.
    """
    if folder.exists():
        check_same(folder, record)
        check_known(folder, existing(folder, prompts, samples))


def draw_missing(
    model: Draws,
    folder: Path,
    prompts: Sequence[Prompt],
    record: Mapping[str, Any],
    batch: int,
    ranks: Ranks = ALONE,
) -> Iterator[Order]:
    """Draws what is missing of this process's share, a batch at a time; yields each image once it is written.

    Args:
        model: draws.
        folder: where to; made if it is not there.
        prompts: what to draw.
        record: seed, samples and sampling settings among it; is written down.
        batch: images drawn at once.
        ranks: the processes that share the drawing.
    """
    samples, seed = record["samples"], record["seed"]
    if ranks.first:
        write_record(folder, record)
        _write_metadata(folder, prompts)
    ranks.wait()
    found = existing(folder, prompts, samples)
    mine = [place for place in ranks.share(wanted(prompts, samples)) if place not in found]
    orders = [
        Order(str(p), seed_of(seed, p.prompt * samples + p.sample), prompts[p.prompt].text) for p in mine
    ]
    yield from make_missing(draws(model, record), folder, orders, batch)
    ranks.wait()


def _write_metadata(folder: Path, prompts: Sequence[Prompt]) -> None:
    for i, prompt in enumerate(prompts):
        path = folder / f"{i:05d}" / "metadata.jsonl"
        if not path.is_file():
            write_text(path, prompt.line + "\n")
