"""What a round of self-enhancement draws: captions of raw pairs, and the images that belong to them."""

import logging
import random
from collections.abc import Sequence
from typing import NamedTuple

from datamodules.decode import IMAGE_ENDINGS, sample_text
from datamodules.places import Unreachable, find_shards, local
from datamodules.shard import BrokenSample, BrokenShard, Shard

log = logging.getLogger(__name__)

LOOKED_AT = 64  # captions at random, of which the nearest is a contrast


class Chosen(NamedTuple):
    """A caption, and where its pair is."""

    prompt: str
    shard: str
    number: int


def choose_prompts(places: Sequence[str], wanted: int, rng: random.Random) -> list[Chosen]:
    """Captions at random, as many from each shard as there are; a shard that has fewer is made up for by the others.

    Raises:
        ValueError: there are too few.
    """
    shards = find_shards(places)
    rng.shuffle(shards)
    chosen: list[Chosen] = []
    left: list[tuple[str, list[int]]] = []  # what the shards still have
    for i, place in enumerate(shards):
        if (shard := _opened(place)) is None:
            continue
        order = rng.sample(range(len(shard)), len(shard))
        chosen += _take(shard, place, order, -(-(wanted - len(chosen)) // (len(shards) - i)))
        left.append((place, order))
    for place, order in left:
        if len(chosen) < wanted and order and (shard := _opened(place)) is not None:
            chosen += _take(shard, place, order, wanted - len(chosen))
    if len(chosen) < wanted:
        raise ValueError(
            f"there are {len(chosen)} captions with images, and a round is to draw {wanted} of them"
        )
    return chosen[:wanted]


def _opened(place: str) -> Shard | None:
    try:
        with local(place) as path:
            return Shard(path)
    except (BrokenShard, Unreachable) as error:
        log.warning("no prompts from %s: %s", place, error)
        return None


def _take(shard: Shard, place: str, order: list[int], count: int) -> list[Chosen]:
    """Up to `count` captions of a shard, whose numbers are taken off the beginning of `order`; closes the shard."""
    taken: list[Chosen] = []
    while order and len(taken) < count:
        number = order.pop(0)
        try:
            sample = shard.read(number)
            prompt = sample_text(sample, "txt")
        except (BrokenSample, ValueError):
            continue
        if any(ending in sample for ending in IMAGE_ENDINGS):
            taken.append(Chosen(prompt, place, number))
    shard.close()
    return taken


def choose_contrasts(prompt: str, prompts: Sequence[str], wanted: int, rng: random.Random) -> list[str]:
    """Other captions that say nearly the same: of LOOKED_AT for each one wanted, those that share the most words.

    Raises:
        ValueError: there are too few others.
    """
    if not wanted:
        return []
    near = {rng.choice(prompts) for _ in range(LOOKED_AT * wanted)} - {prompt}
    if len(near) < wanted:
        near = set(prompts) - {prompt}
    if len(near) < wanted:
        raise ValueError(
            f"there are {len(near)} other captions, and each drawing is to be held against {wanted}"
        )
    words = set(prompt.split())

    def unlike(other: str) -> tuple[float, str]:
        theirs = set(other.split())
        return -len(words & theirs) / len(words | theirs), other

    return sorted(near, key=unlike)[:wanted]


class TrueImages:
    """The captions' own images; one shard stands open at a time."""

    def __init__(self) -> None:
        self.place, self.shard = "", None

    def image(self, chosen: Chosen) -> tuple[str, bytes]:
        """The ending and the content of a caption's image file."""
        if chosen.shard != self.place:
            self.close()
            with local(chosen.shard) as path:
                self.place, self.shard = chosen.shard, Shard(path)
        sample = self.shard.read(chosen.number)
        ending = next(ending for ending in IMAGE_ENDINGS if ending in sample)
        return ending, sample[ending]

    def close(self) -> None:
        """Lets go of the shard."""
        if self.shard is not None:
            self.shard.close()
            self.place, self.shard = "", None
