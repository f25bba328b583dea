"""A mixture of WebDataset sources that can be cut anywhere and goes on exactly there.

The order is a pure function of the seed: each turn of a source shuffles its shards, each shard its samples. The state
is a few integers and the mixture's RNG, so a resumed run reads nothing twice but the shard it was in.
"""

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import webdataset as wds

log = logging.getLogger(__name__)

Sample = dict[str, Any]


def find_shards(place: str) -> list[str]:
    """The shards of a folder or a brace pattern, sorted.

    Raises:
        FileNotFoundError: there is none.
    """
    if Path(place).is_dir():
        shards = sorted(str(p) for p in Path(place).glob("*.tar"))
    else:
        shards = [url for url in wds.shardlists.expand_urls(place) if Path(url).is_file()]
    if not shards:
        raise FileNotFoundError(
            f"no shards at {place}: make the playground's with "
            "`python -m playground.shards --out runs/playground/data --scale 0.6`"
        )
    return shards


@dataclass(frozen=True)
class Source:
    """A named set of shards with its weight in the mixture, and what turns its samples into training items."""

    shards: Sequence[str]
    weight: float
    convert: Callable[[Sample, random.Random], Any]


class MixedStream:
    """Draws items from weighted sources for ever.

    Args:
        sources: by name.
        seed: of every order and choice.
        part, parts: this reader's number among all readers (ranks x workers).
    """

    def __init__(self, sources: Mapping[str, Source], seed: int, part: int = 0, parts: int = 1) -> None:
        self.sources, self.seed, self.part, self.parts = dict(sources), seed, part, parts
        self.skipped: Counter[str] = Counter()
        self.rng = random.Random(f"{seed}|mixture|{part}")
        self.places = {name: {"turn": 0, "shard": 0, "index": 0} for name in self.sources}
        self._readers: dict[str, Iterator[Any]] = {}

    def __iter__(self) -> Iterator[Any]:
        names = list(self.sources)
        weights = [self.sources[name].weight for name in names]
        while True:
            name = self.rng.choices(names, weights)[0]
            if name not in self._readers:
                self._readers[name] = self._read(name)
            yield next(self._readers[name])

    def _read(self, name: str) -> Iterator[Any]:
        source, place = self.sources[name], self.places[name]
        given = True
        while given:
            given = False
            shards = list(source.shards)
            random.Random(f"{self.seed}|{name}|{place['turn']}").shuffle(shards)
            split = len(shards) >= self.parts  # fewer shards than readers: split each shard's samples instead
            mine = shards[self.part :: self.parts] if split else shards
            while place["shard"] < len(mine):
                url = mine[place["shard"]]
                rows = self._shard(name, url, place["turn"])
                rows = rows if split else rows[self.part :: self.parts]
                while place["index"] < len(rows):
                    row = rows[place["index"]]
                    key = f"{self.seed}|{name}|{place['turn']}|{row['__key__']}"
                    place["index"] += 1
                    item = self._convert(source, row, key)
                    if item is not None:
                        given = True
                        yield item
                place["shard"], place["index"] = place["shard"] + 1, 0
            place["turn"], place["shard"] = place["turn"] + 1, 0
        raise ValueError(f"source {name!r} gave not one good sample: {dict(self.skipped)}")

    def _shard(self, name: str, url: str, turn: int) -> list[Sample]:
        def broken(error: Exception) -> bool:
            self._skip(f"{type(error).__name__} in {url}")
            return True

        rows = list(wds.DataPipeline(wds.SimpleShardList([url]), wds.tarfile_to_samples(handler=broken)))
        random.Random(f"{self.seed}|{name}|{url}|{turn}").shuffle(rows)
        return rows

    def _convert(self, source: Source, row: Sample, key: str) -> Any | None:
        try:
            return source.convert(row, random.Random(key))
        except (KeyError, ValueError, OSError) as error:
            self._skip(f"{type(error).__name__} {error} in {row['__url__']}")
            return None

    def _skip(self, reason: str) -> None:
        if reason not in self.skipped:
            log.warning("skipped a sample: %s", reason)
        self.skipped[reason] += 1

    def state_dict(self) -> dict[str, Any]:
        """Where each source stands."""
        return {"places": deepcopy(self.places), "rng": self.rng.getstate(), "skipped": dict(self.skipped)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken."""
        for name, place in state["places"].items():
            self.places[name].update(place)
        version, words, gauss = state["rng"]
        self.rng.setstate((version, tuple(words), gauss))
        self.skipped = Counter(state["skipped"])
