"""A mixture of sources that can be cut anywhere and goes on exactly there.

Every order and choice is a pure function of the seed and of how often it was made before, so the whole state of a
stream is a few integers. A source's turn gives each of its samples once: its shards are shuffled, a few of them stand
open at a time, and each gives its samples in a shuffled order of their own.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

from common.urls import masked_urls
from datamodules.shard import BrokenSample, BrokenShard, Sample, Shard
from datamodules.shard_faults import shard_faults
from datamodules.shard_paths import declared, local
from datamodules.skip_rate import Reads
from datamodules.skipped import Skip, TooManySkipped

OPEN_SHARDS = 4  # of one source at a time: samples of as many shards are mixed
MAX_EMPTY_TURNS = 16  # of a reader whose shards hold nothing, before its source counts as empty
MAX_IN_A_ROW = 1000  # samples of a source that may be broken one after the other, where not all may be
WHAT_BREAKS = (BrokenSample, KeyError, ValueError, TypeError, OSError, OverflowError, MemoryError)


@dataclass(frozen=True)
class Source:
    """A named set of shards with its weight in the mixture, and what turns its samples into training items.

    `convert` gives an item, or `Cut` where it is not all of its sample.
    """

    shards: Sequence[str]
    weight: float
    convert: Callable[[Sample, random.Random], Any]


class Cut(NamedTuple):
    """An item that lost something of its sample, and how many tokens that was."""

    value: Any
    tokens: int


class Address(NamedTuple):
    """Where an item came from: enough to read it again."""

    source: str
    turn: int
    shard: int
    index: int
    fingerprint: int | None = None  # of the shard; None in checkpoints of before


class Item(NamedTuple):
    """What a sample was made into, and where it came from."""

    value: Any
    address: Address


class _Opened(NamedTuple):
    shard: Shard
    order: list[int]  # in which this reader reads its samples
    fingerprint: int


class MixedStream:
    """Draws items from weighted sources for ever.

    Args:
        sources: by name.
        seed: of every order and choice.
        part, parts: this reader's number among all readers, which share each turn's samples.
        max_skipped_fraction: where it is below 1, a source that gives only broken samples ends the stream.

    Attributes:
        skips, reads: what was skipped, and all that was read, since somebody last took it away.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        seed: int,
        part: int = 0,
        parts: int = 1,
        max_skipped_fraction: float = 1.0,
    ) -> None:
        self.sources, self.seed, self.part, self.parts = dict(sources), seed, part, parts
        self.max_skipped_fraction = max_skipped_fraction
        self.skips: list[Skip] = []
        self.reads: dict[str, Reads] = {}
        self.drawn = 0
        self.places = {name: {"turn": 0, "next": 0, "open": [], "drawn": 0} for name in self.sources}
        self._open: dict[tuple[str, int, int], _Opened] = {}
        self._orders: dict[str, tuple[int, list[int]]] = {}

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        names = list(self.sources)
        weights = [self.sources[name].weight for name in names]
        name = self._rng("mixture", self.part, self.drawn).choices(names, weights)[0]
        self.drawn += 1
        return self._next(name)

    def reread(self, addresses: Sequence[Address]) -> list[Item]:
        """Items again, by their addresses.

        Raises:
            ValueError: one cannot be read any more.
        """
        items = []
        for address in addresses:
            name, turn, number, index, fingerprint = address
            opened = self._shard(name, turn, number)
            if opened is None or fingerprint not in (None, opened.fingerprint):
                raise self._changed(name, number)
            value = self._value(name, turn, number, index) if index < len(opened.order) else None
            if value is None:
                raise self._changed(name, number)
            items.append(Item(value.value if isinstance(value, Cut) else value, address))
        for name, turn, number in list(self._open):  # those that are done were opened for this alone
            place = self.places[name]
            if turn != place["turn"] or number not in [opened[0] for opened in place["open"]]:
                self._close(name, turn, number)
        return items

    def take_skips(self) -> list[Skip]:
        """What was skipped since the last time."""
        taken, self.skips = self.skips, []
        return taken

    def take_reads(self) -> dict[str, Reads]:
        """What was read since the last time, by source."""
        taken, self.reads = self.reads, {}
        return taken

    def _rng(self, *of: Any) -> random.Random:
        return random.Random("|".join(map(str, (self.seed, *of))))

    def _next(self, name: str) -> Item:
        place, turns, broken = self.places[name], 0, 0
        while True:
            self._fill(name, place)
            if not place["open"]:
                turns += 1
                # shards that are empty or broken say nothing of those that this reader gets in its next turns
                if turns > (1 if broken or len(self.sources[name].shards) == 1 else MAX_EMPTY_TURNS):
                    raise ValueError(f"source {name!r} gave not one good sample{self._why(name)}")
                place["turn"], place["next"] = place["turn"] + 1, 0
                continue
            item = self._draw(name, place)
            if item is not None:
                return item
            broken += 1
            if broken >= MAX_IN_A_ROW and self.max_skipped_fraction < 1:
                raise TooManySkipped(
                    f"{broken} samples of source {name!r} in a row cannot be used{self._why(name)}; "
                    f"max_skipped_fraction allows {self.max_skipped_fraction:.1%}. "
                    "`python -m datamodules.doctor` on its shards names each one"
                )

    def _changed(self, name: str, number: int) -> ValueError:
        return ValueError(
            f"{self._shown(name, number)} is not what it was when this run read from it: "
            "put that back, or start another run"
        )

    def _shown(self, name: str, number: int) -> str:
        """A shard by its place, without what a URL must not show; its number then tells such URLs apart."""
        place = self.sources[name].shards[number]
        shown = masked_urls(place)
        return place if shown == place else f"{shown} (shard {number} of {name})"

    def _draw(self, name: str, place: dict[str, Any]) -> Item | None:
        """The next sample of one of the open shards; None if it is broken."""
        choice = self._rng(name, "which", self.part, place["drawn"]).randrange(len(place["open"]))
        place["drawn"] += 1
        turn, (number, index, fingerprint) = place["turn"], place["open"][choice]
        opened = self._shard(name, turn, number)
        if opened is None or opened.fingerprint != fingerprint:  # a resumed run opens it again
            raise self._changed(name, number)
        place["open"][choice][1] += 1
        read = self._reads(name).shards[number]
        skips = len(self.skips)
        value = self._value(name, turn, number, index)
        read.samples += value is not None or len(self.skips) > skips  # a part of a sample is no sample
        read.skipped += value is None and len(self.skips) > skips
        if index + 1 >= len(opened.order):
            place["open"].pop(choice)
            self._close(name, turn, number)
        if isinstance(value, Cut):
            self._reads(name).add_cut(value.tokens)
            value = value.value
        return None if value is None else Item(value, Address(name, turn, number, index, fingerprint))

    def _why(self, name: str) -> str:
        reasons = [skip.reason for skip in self.skips if skip.source == name]
        return (
            f": {reasons[0]}" + (f", and {len(reasons) - 1} more" if reasons[1:] else "") if reasons else ""
        )

    def _split(self, name: str) -> bool:
        """Whether readers share out shards; with fewer shards than readers they share out each shard's samples."""
        return len(self.sources[name].shards) >= self.parts

    def _mine(self, name: str, turn: int) -> list[int]:
        """Numbers of the shards that this reader reads in a turn, in order."""
        if name not in self._orders or self._orders[name][0] != turn:
            order = list(range(len(self.sources[name].shards)))
            self._rng(name, "shards", turn).shuffle(order)
            self._orders[name] = (turn, order[self.part :: self.parts] if self._split(name) else order)
        return self._orders[name][1]

    def _fill(self, name: str, place: dict[str, Any]) -> None:
        while len(place["open"]) < OPEN_SHARDS and place["next"] < len(
            mine := self._mine(name, place["turn"])
        ):
            number = mine[place["next"]]
            place["next"] += 1
            opened = self._shard(name, place["turn"], number)
            if opened is not None and opened.order:
                place["open"].append([number, 0, opened.fingerprint])
            elif opened is not None:
                self._close(name, place["turn"], number)

    def _shard(self, name: str, turn: int, number: int) -> _Opened | None:
        """A shard and the order in which this reader reads its samples in a turn; None if all of it is broken."""
        if (name, turn, number) in self._open:
            return self._open[name, turn, number]
        url = self.sources[name].shards[number]
        try:
            with local(url) as path:  # a remote shard's copy loses its name here, and lives while it is open
                shard = Shard(path)
        except (BrokenShard, OSError) as error:
            self.skips.append(Skip(name, str(error), self._shown(name, number), declared(url) or 1))
            self._reads(name).shards[number].lost = 1.0
            return None
        read = self._reads(name).shards[number]
        read.size, read.lost = len(shard), self._count_lost(name, number, shard)
        order = list(range(len(shard)))
        self._rng(name, "samples", turn, number).shuffle(order)
        if order and not self._split(name):  # of fewer samples than readers, some are read by two of them
            order = order[self.part :: self.parts] or [order[self.part % len(order)]]
        opened = self._open[name, turn, number] = _Opened(shard, order, shard.fingerprint())
        return opened

    def _reads(self, name: str) -> Reads:
        return self.reads.setdefault(name, Reads(len(self.sources[name].shards)))

    def _count_lost(self, name: str, number: int, shard: Shard) -> float:
        """Says what is wrong with a shard that can be read; returns the share of its samples that is not there."""
        promised = declared(self.sources[name].shards[number])
        faults, missing = shard_faults(shard, promised)
        self.skips += [Skip(name, reason, self._shown(name, number), lost) for reason, lost in faults]
        return missing / (len(shard) + missing)

    def _close(self, name: str, turn: int, number: int) -> None:
        self._open.pop((name, turn, number)).shard.close()

    def _value(self, name: str, turn: int, number: int, index: int) -> Any | None:
        shard, order, _ = self._shard(name, turn, number)
        entry = shard.entries[order[index]]
        try:
            sample = shard.read(order[index])
            return self.sources[name].convert(sample, self._rng(name, "sample", turn, number, entry.key))
        except WHAT_BREAKS as error:
            if not shard.may_be_a_part(order[index]):
                reason = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
                where = f"{self._shown(name, number)} {entry.key}"
                self.skips.append(Skip(name, reason or type(error).__name__, where))
            return None

    def state_dict(self) -> dict[str, Any]:
        """Where each source stands."""
        shards = {name: len(source.shards) for name, source in self.sources.items()}
        return {"drawn": self.drawn, "places": deepcopy(self.places), "shards": shards}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken; sources that have come since begin at their beginning.

        Raises:
            ValueError: a source is gone, or no longer what it was.
        """
        if gone := set(state["places"]) - set(self.places):
            raise ValueError(
                f"this run has read from {', '.join(sorted(gone))}, which is no longer among its sources: start another"
            )
        for name, source in self.sources.items():
            if name in state["shards"] and state["shards"][name] != len(source.shards):
                raise ValueError(
                    f"source {name!r} had {state['shards'][name]} shards when this run was cut off and has "
                    f"{len(source.shards)} now: put back what it had, or start another run"
                )
        self.drawn, self.places = state["drawn"], self.places | deepcopy(state["places"])
