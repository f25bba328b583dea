"""Images made into a folder, resumably: what is missing is made, by every process its share.

    DIR/drawn.json   who made them, with which seed and settings

Each file is there whole or not at all, and each image has a seed of its own: a command that was killed goes on with
what is missing and leaves what it would have left, however many processes it is given the second time.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from common.files import write_bytes, write_text
from common.images import encode_image
from common.progress import progress
from models.generation import SamplingConfig
from models.image_input import to_pil
from models.sampling_options import NAMES

RECORD = "drawn.json"
TOLD = ("seed", "model", *NAMES)  # what a report says of who drew
UNSAID = {"top_k": 0, "top_p": 1.0}  # what drew the images of records that do not say it: they are older


class Order(NamedTuple):
    """An image to be made.

    Args:
        path: its place in the folder.
        seed: its own.
        source: what it is made of (a prompt, a picture, an edit).
        series: images that are made by one process, as some go on from others; none: it belongs to no other.
        round: in a series, which ones it comes after: those of lower rounds.
    """

    path: str
    seed: int
    source: Any
    series: str = ""
    round: int = 0

    @property
    def stem(self) -> str:
        """Its place without what kind of file it is."""
        return self.path.rpartition(".")[0]

    @property
    def group(self) -> str:
        """What one process makes: its series, or it alone."""
        return self.series or self.path


Make = Callable[[Sequence[Order]], Tensor]  # orders to images (B, 3, H, W) uint8


class Draws(Protocol):
    """What draws, as `Illume` does."""

    def draw_batch(
        self,
        prompts: Sequence[str],
        seeds: list[int],
        sampling: SamplingConfig,
    ) -> Tensor:
        """Images (B, 3, H, W) uint8, one for each prompt and seed."""


def draws(model: Draws, record: Mapping[str, Any]) -> Make:
    """How a model makes images of prompts, by the sampling settings of a record."""
    sampling = {name: record[name] for name in NAMES}
    return lambda orders: model.draw_batch(
        [o.source for o in orders], [o.seed for o in orders], SamplingConfig(**sampling)
    )


def make_missing(make: Make, folder: Path, missing: Sequence[Order], batch: int) -> Iterator[Order]:
    """Makes images, a batch of one round at a time, and yields each one's order once it is written."""
    for _, orders in groupby(sorted(missing, key=lambda o: o.round), key=lambda o: o.round):
        of_round = list(orders)
        for start in range(0, len(of_round), batch):
            part = of_round[start : start + batch]
            for order, image in zip(part, make(part), strict=True):
                write_bytes(folder / order.path, encode_image(to_pil(image), order.path))
                yield order


def count(made: Iterator[Order]) -> int:
    """Runs to the end with a progress bar; returns the number of images."""
    return sum(1 for _ in progress(made, "images made"))


def seed_of(seed: int, index: int) -> int:
    """The own seed of the image that stands at `index` of the whole set."""
    return seed * 1_000_003 + index


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Writes down who makes the images of a folder."""
    write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")


def read_record(folder: Path) -> dict[str, Any]:
    """Who made the images of a folder, as it says; empty where it does not.

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


def who_drew(folder: Path) -> dict[str, Any]:
    """What a report says of it; seed and model are None where nobody knows."""
    said = read_record(folder)
    return {name: said.get(name) for name in TOLD if name in said or name in TOLD[:2]}


def check_same(folder: Path, record: Mapping[str, Any]) -> None:
    """Makes sure that a folder's images, as far as it tells, are those that `record` would make.

    Raises:
        ValueError: they are another model's, or were made otherwise.
    """
    said = read_record(folder)
    said = (UNSAID | said) if said else said
    if differ := [key for key, value in record.items() if said and said.get(key) != value]:
        told = ", ".join(f"{key} {said.get(key)!r} and not {record[key]!r}" for key in differ)
        raise ValueError(f"{folder} holds images that were drawn with {told}: name another folder")


def check_known(folder: Path, images: Collection[Any]) -> None:
    """Makes sure that it is known who made the images of a folder, if it has any, before others join them.

    Raises:
        ValueError: nobody knows.
    """
    if images and not read_record(folder):
        raise ValueError(
            f"{folder} holds images but no {RECORD}, so nobody knows who drew them: leave out --model to score them"
        )
