"""What a round of self-enhancement draws: captions of raw pairs, and the images that belong to them."""

import logging
import random
from collections.abc import Sequence
from typing import NamedTuple

from common.terminal import printable
from common.urls import masked_urls
from datamodules.decode import image_ending, sample_text
from datamodules.shard import BrokenSample, BrokenShard, Shard
from datamodules.shard_paths import Unreachable, find_shards, local

log = logging.getLogger(__name__)

LOOKED_AT = 64  # captions at random for each contrast, where none differs in one word
ENOUGH = 200_000  # captions to find hard_negatives among: seconds of reading
MOST_WORDS = 32  # of a caption that is looked at word by word

Gap = tuple[str | None, ...]  # the words of a caption, one of them left out


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
        log.warning("no prompts from %s: %s", printable(masked_urls(place)), printable(str(error)))
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
        if image_ending(sample) is not None:
            taken.append(Chosen(prompt, place, number))
    shard.close()
    return taken


def read_captions(places: Sequence[str], rng: random.Random, enough: int = ENOUGH) -> list[str]:
    """The different captions of shards in random order, of as many as hold `enough`."""
    shards = find_shards(places)
    rng.shuffle(shards)
    found: set[str] = set()
    for place in shards:
        if len(found) >= enough or (shard := _opened(place)) is None:
            continue
        for number in range(len(shard)):
            try:
                found.add(sample_text(shard.read(number), "txt"))
            except (BrokenSample, ValueError):
                continue
        shard.close()
    return sorted(found)


def choose_hard_negatives(
    prompts: Sequence[str], captions: Sequence[str], wanted: int, rng: random.Random
) -> list[list[str]]:
    """For each prompt, other captions that say nearly the same.

    First those that differ from it in one word, each in another place ("two red circles", "three red circles", "two red
    stars"); where there are too few, of LOOKED_AT at random those that share the most words.

    Args:
        prompts: what is drawn.
        captions: all that there is to choose from.
        wanted: how many for each prompt.
        rng: what chooses.

    Raises:
        ValueError: there are too few others.
    """
    if wanted and len(set(captions) | set(prompts)) <= wanted:
        raise ValueError(f"each drawing is to be held against {wanted} other captions, and there are too few")
    alike: dict[Gap, list[str]] = {gap: [] for prompt in prompts for gap in _gaps(prompt)}
    for caption in captions:
        for gap in _gaps(caption):
            if gap in alike:
                alike[gap].append(caption)
    found = []
    for prompt in prompts:
        places = [[c for c in alike[gap] if c != prompt] for gap in _gaps(prompt)]
        places = [others for others in places if others]
        chosen = [rng.choice(others) for others in rng.sample(places, min(wanted, len(places)))]
        found.append(chosen + _nearest(prompt, captions, wanted - len(chosen), {prompt, *chosen}, rng))
    return found


def _gaps(caption: str) -> list[Gap]:
    """A caption with each of its words left out in turn: what it shares with those that differ in that word."""
    words = caption.split()
    if len(words) > MOST_WORDS:
        return []
    return [(*words[:i], None, *words[i + 1 :]) for i in range(len(words))]


def _nearest(
    prompt: str, captions: Sequence[str], wanted: int, without: set[str], rng: random.Random
) -> list[str]:
    """Of captions at random, those that share the most words."""
    if not wanted:
        return []
    near = {rng.choice(captions) for _ in range(LOOKED_AT * wanted)} - without
    if len(near) < wanted:
        near = set(captions) - without
    words = set(prompt.split())

    def unlike(other: str) -> tuple[float, str]:
        theirs = set(other.split())
        return -len(words & theirs) / len(words | theirs), other

    return sorted(near, key=unlike)[:wanted]


class CaptionImages:
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
        ending = image_ending(sample)
        if ending is None:
            raise ValueError(f"{chosen.shard} has no image of {chosen.prompt!r} any more: it was replaced")
        return ending, sample[ending]

    def close(self) -> None:
        """Lets go of the shard."""
        if self.shard is not None:
            self.shard.close()
            self.place, self.shard = "", None
