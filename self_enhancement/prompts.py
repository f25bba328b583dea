"""The prompts of a round: captions of raw pairs, and the images that belong to them."""

import logging
import random
from collections.abc import Sequence
from typing import NamedTuple

from common.terminal import printable
from common.urls import masked_urls
from datamodules.decode import image_ending, sample_text
from datamodules.remote import Unreachable, local_copy
from datamodules.shard import BrokenSample, BrokenShard, Shard
from datamodules.shard_paths import find_shards

log = logging.getLogger(__name__)

MAX_CAPTIONS = 200_000  # that are read: seconds of reading


class CaptionedImage(NamedTuple):
    """A caption, and the shard and number of its pair."""

    prompt: str
    shard: str
    number: int


def choose_prompts(shard_paths: Sequence[str], count: int, rng: random.Random) -> list[CaptionedImage]:
    """Captions at random, as many from each shard as there are; the others make up for a shard that has fewer.

    Raises:
        ValueError: there are too few.
    """
    paths = find_shards(shard_paths)
    rng.shuffle(paths)
    chosen: list[CaptionedImage] = []
    unused: list[tuple[str, list[int]]] = []  # samples left in each shard
    for i, path in enumerate(paths):
        if (shard := _open(path)) is None:
            continue
        order = rng.sample(range(len(shard)), len(shard))
        chosen += _take(shard, path, order, -(-(count - len(chosen)) // (len(paths) - i)))
        unused.append((path, order))
    for path, order in unused:
        if len(chosen) < count and order and (shard := _open(path)) is not None:
            chosen += _take(shard, path, order, count - len(chosen))
    if len(chosen) < count:
        raise ValueError(
            f"there are {len(chosen)} captions with images, and a round is to draw {count} of them"
        )
    return chosen[:count]


def _open(path: str) -> Shard | None:
    try:
        with local_copy(path) as file:
            return Shard(file)
    except (BrokenShard, Unreachable) as error:
        log.warning("no prompts from %s: %s", printable(masked_urls(path)), printable(str(error)))
        return None


def _take(shard: Shard, path: str, order: list[int], count: int) -> list[CaptionedImage]:
    """Up to `count` captions of a shard, removing their numbers from the front of `order`; closes the shard."""
    taken: list[CaptionedImage] = []
    while order and len(taken) < count:
        number = order.pop(0)
        try:
            sample = shard.read(number)
            prompt = sample_text(sample, "txt")
        except (BrokenSample, ValueError):
            continue
        if image_ending(sample) is not None:
            taken.append(CaptionedImage(prompt, path, number))
    shard.close()
    return taken


def read_captions(shard_paths: Sequence[str], rng: random.Random, limit: int = MAX_CAPTIONS) -> list[str]:
    """The different captions of shards at random, of as many shards as hold `limit` captions."""
    paths = find_shards(shard_paths)
    rng.shuffle(paths)
    captions: set[str] = set()
    for path in paths:
        if len(captions) >= limit or (shard := _open(path)) is None:
            continue
        for number in range(len(shard)):
            try:
                captions.add(sample_text(shard.read(number), "txt"))
            except (BrokenSample, ValueError):
                continue
        shard.close()
    return sorted(captions)


class CaptionImages:
    """The captions' own images; one shard is open at a time."""

    def __init__(self) -> None:
        self.path = ""
        self.shard: Shard | None = None

    def read(self, chosen: CaptionedImage) -> tuple[str, bytes]:
        """The ending and the content of a caption's image file."""
        if self.shard is None or chosen.shard != self.path:
            self.close()
            with local_copy(chosen.shard) as file:
                self.path, self.shard = chosen.shard, Shard(file)
        sample = self.shard.read(chosen.number)
        ending = image_ending(sample)
        if ending is None:
            raise ValueError(f"{chosen.shard} has no image of {chosen.prompt!r} any more: it was replaced")
        return ending, sample[ending]

    def close(self) -> None:
        """Closes the shard."""
        if self.shard is not None:
            self.shard.close()
            self.path, self.shard = "", None
