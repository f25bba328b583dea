"""Images made into a folder, resumably: what is missing is made, by every process its share.

    DIR/drawn.json   who made them, with which seed and settings

Each file is there whole or not at all, and each image has a seed of its own: a command that was killed goes on with
what is missing and leaves what it would have left, however many processes it is given the second time.
"""

import json
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from evals.image_files import png, write_whole

log = logging.getLogger(__name__)

RECORD = "drawn.json"
OFTEN = 20.0  # seconds between two lines that tell how far it is


class Order(NamedTuple):
    """An image to be made: its place in the folder, its own seed, and what of (a prompt, a picture)."""

    path: str
    seed: int
    source: Any

    @property
    def stem(self) -> str:
        """Its place without what kind of file it is."""
        return self.path.rpartition(".")[0]


Make = Callable[[Sequence[Order]], Tensor]  # orders to images (B, 3, H, W) uint8


class Draws(Protocol):
    """What draws, as `Illume` does."""

    def draw(self, prompts: Sequence[str], seeds: list[int], cfg: float, temperature: float) -> Tensor:
        """Images (B, 3, H, W) uint8, one for each prompt and seed."""


def draws(model: Draws, record: Mapping[str, Any]) -> Make:
    """How a model makes images of prompts, by the settings of a record (cfg and temperature)."""
    sampling = {"cfg": record["cfg"], "temperature": record["temperature"]}
    return lambda orders: model.draw([o.source for o in orders], [o.seed for o in orders], **sampling)


def make_missing(make: Make, folder: Path, missing: Sequence[Order], batch: int) -> Iterator[Order]:
    """Makes images, a batch at a time, and yields each one's order once it is written."""
    for start in range(0, len(missing), batch):
        part = missing[start : start + batch]
        for order, image in zip(part, make(part), strict=True):
            write_whole(folder / order.path, png(image))
            yield order


def count(made: Iterator[Order]) -> int:
    """Runs to the end, telling now and then how far it is; returns how many images that were."""
    start = told = time.monotonic()
    number = 0
    for order in made:
        number += 1
        if time.monotonic() - told > OFTEN:
            told = time.monotonic()
            log.info("%d images made after %.0f s, the last is %s", number, told - start, order.path)
    return number


def seed_of(seed: int, index: int) -> int:
    """The own seed of the image that stands at `index` of the whole set."""
    return seed * 1_000_003 + index


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Writes down who makes the images of a folder."""
    write_whole(folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())


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


def check_same(folder: Path, record: Mapping[str, Any]) -> None:
    """Makes sure that a folder's images, as far as it tells, are those that `record` would make.

    Raises:
        ValueError: they are another model's, or were made otherwise.
    """
    said = read_record(folder)
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
