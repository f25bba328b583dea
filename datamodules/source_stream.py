"""The samples of one source as training items, epoch after epoch, resumable at every item.

An epoch gives each sample once: shards are shuffled, a few of them are open at a time, and each gives its samples in a
shuffled order of its own. Every order and choice is a pure function of the seed and of what was chosen before.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

from common.urls import masked_urls
from datamodules.remote import local_copy
from datamodules.shard import BrokenSample, BrokenShard, Sample, Shard
from datamodules.shard_paths import declared_samples
from datamodules.skips import ReadCounts, Skip, TooManySkipped

OPEN_SHARDS = 4  # of one source at a time: samples of as many shards are mixed
MAX_EMPTY_EPOCHS = 16  # of a reader whose shards hold nothing, before its source counts as empty
MAX_BROKEN_IN_A_ROW = 1000  # samples, where `max_skipped_fraction` is below 1
SAMPLE_ERRORS = (BrokenSample, KeyError, ValueError, TypeError, OSError, OverflowError, MemoryError)


@dataclass(frozen=True)
class Source:
    """A named set of shards with its weight in the mixture, and what turns its samples into training items.

    `convert` returns an item, or `Truncated` where it is not all of its sample.
    """

    shards: Sequence[str]
    weight: float
    convert: Callable[[Sample, random.Random], Any]


class Truncated(NamedTuple):
    """An item that lost something of its sample, and how many tokens that was."""

    value: Any
    lost_tokens: int


class Address(NamedTuple):
    """Where an item came from: enough to read it again."""

    source: str
    epoch: int
    shard: int
    number: int  # in this reader's order of the shard's samples
    fingerprint: int  # of the shard


class Item(NamedTuple):
    """What a sample was made into, and where it came from."""

    value: Any
    address: Address


class _OpenShard(NamedTuple):
    shard: Shard
    order: list[int]  # in which this reader reads its samples
    fingerprint: int


class SourceStream:
    """Items of one source for ever, of one of the readers that share its samples.

    Args:
        name: of the source, in messages and in seeds.
        source: shards, and what becomes of their samples.
        seed: of every order and choice.
        shard_id, num_shards: this reader's number among all readers, which share the samples of each epoch.
        max_skipped_fraction: where it is below 1, a source that gives only broken samples ends the stream.

    Attributes:
        skips, reads: what was skipped, and all that was read, since the last `take_counts`.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        seed: int,
        shard_id: int = 0,
        num_shards: int = 1,
        max_skipped_fraction: float = 1.0,
    ) -> None:
        self.name, self.source, self.seed = name, source, seed
        self.shard_id, self.num_shards = shard_id, num_shards
        self.max_skipped_fraction = max_skipped_fraction
        self.skips: list[Skip] = []
        self.reads = ReadCounts(len(source.shards))
        # open: [number of a shard, samples read of it, its fingerprint]; next: of this epoch's shards
        self.position: dict[str, Any] = {"epoch": 0, "next": 0, "open": [], "drawn": 0}
        self._opened: dict[tuple[int, int], _OpenShard] = {}  # by epoch and number
        self._shard_order: tuple[int, list[int]] = (-1, [])  # of an epoch

    def __next__(self) -> Item:
        empty_epochs = broken = 0
        while True:
            self._open_shards()
            if not self.position["open"]:
                empty_epochs += 1
                # shards that are empty or broken say nothing of those that this reader gets in its next epochs
                if empty_epochs > (1 if broken or len(self.source.shards) == 1 else MAX_EMPTY_EPOCHS):
                    raise ValueError(f"source {self.name!r} gave not one good sample{self._why()}")
                self.position |= {"epoch": self.position["epoch"] + 1, "next": 0}
                continue
            item = self._draw()
            if item is not None:
                return item
            broken += 1
            if broken >= MAX_BROKEN_IN_A_ROW and self.max_skipped_fraction < 1:
                raise TooManySkipped(
                    f"{broken} samples of source {self.name!r} in a row cannot be used{self._why()}; "
                    f"max_skipped_fraction allows {self.max_skipped_fraction:.1%}. "
                    "`python -m datamodules.doctor` on its shards names each one"
                )

    def reread(self, address: Address) -> Item:
        """An item again, by its address; raises ValueError if it cannot be read any more."""
        opened = self._shard(address.epoch, address.shard)
        if opened is None or opened.fingerprint != address.fingerprint or address.number >= len(opened.order):
            raise self._changed(address.shard)
        value = self._convert(opened, address.epoch, address.shard, address.number)
        if value is None:
            raise self._changed(address.shard)
        return Item(value.value if isinstance(value, Truncated) else value, address)

    def close_finished(self) -> None:
        """Closes shards that `reread` alone has opened."""
        reading = {(self.position["epoch"], number) for number, *_ in self.position["open"]}
        self._close(set(self._opened) - reading)

    def take_counts(self) -> tuple[list[Skip], ReadCounts]:
        """What was skipped, and all that was read, since the last time."""
        taken = self.skips, self.reads
        self.skips, self.reads = [], ReadCounts(len(self.source.shards))
        return taken

    def _rng(self, *key: Any) -> random.Random:
        return random.Random("|".join(map(str, (self.seed, self.name, *key))))

    def _changed(self, number: int) -> ValueError:
        return ValueError(
            f"{self._shown(number)} is not what it was when this run read from it: "
            "put that back, or start another run"
        )

    def _shown(self, number: int) -> str:
        """A shard's path, without what a URL must not show; its number then tells such URLs apart."""
        path = self.source.shards[number]
        shown = masked_urls(path)
        return path if shown == path else f"{shown} (shard {number} of {self.name})"

    def _why(self) -> str:
        if not self.skips:
            return ""
        more = f", and {len(self.skips) - 1} more" if self.skips[1:] else ""
        return f": {self.skips[0].reason}{more}"

    def _draw(self) -> Item | None:
        """The next sample of one of the open shards; None if it is broken."""
        position = self.position
        choice = self._rng("which", self.shard_id, position["drawn"]).randrange(len(position["open"]))
        position["drawn"] += 1
        epoch, (number, index, fingerprint) = position["epoch"], position["open"][choice]
        opened = self._shard(epoch, number)
        if opened is None or opened.fingerprint != fingerprint:  # a resumed run opens it again
            raise self._changed(number)
        position["open"][choice][1] += 1
        skips = len(self.skips)
        value = self._convert(opened, epoch, number, index)
        skipped = len(self.skips) > skips  # else what is broken was cut with the shard's end
        counts = self.reads.shards[number]
        counts.samples += value is not None or skipped
        counts.skipped += value is None and skipped
        if index + 1 >= len(opened.order):
            position["open"].pop(choice)
            self._close([(epoch, number)])
        if isinstance(value, Truncated):
            self.reads.add_truncated(value.lost_tokens)
            value = value.value
        return None if value is None else Item(value, Address(self.name, epoch, number, index, fingerprint))

    def _convert(self, opened: _OpenShard, epoch: int, number: int, index: int) -> Any | None:
        shard, sample_number = opened.shard, opened.order[index]
        key = shard.entries[sample_number].key
        try:
            return self.source.convert(shard.read(sample_number), self._rng("sample", epoch, number, key))
        except SAMPLE_ERRORS as error:
            if not shard.may_be_cut(sample_number):
                reason = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
                what = f"{self._shown(number)} {key}"
                self.skips.append(Skip(self.name, reason or type(error).__name__, what))
            return None

    @property
    def _shares_shards(self) -> bool:
        """Whether readers share out shards; with fewer shards than readers they share out each shard's samples."""
        return len(self.source.shards) >= self.num_shards

    def _own_shards(self) -> list[int]:
        """Numbers of the shards that this reader reads in this epoch, in order."""
        epoch = self.position["epoch"]
        if self._shard_order[0] != epoch:
            order = list(range(len(self.source.shards)))
            self._rng("shards", epoch).shuffle(order)
            if self._shares_shards:
                order = order[self.shard_id :: self.num_shards]
            self._shard_order = (epoch, order)
        return self._shard_order[1]

    def _open_shards(self) -> None:
        position, own = self.position, self._own_shards()
        while len(position["open"]) < OPEN_SHARDS and position["next"] < len(own):
            number = own[position["next"]]
            position["next"] += 1
            opened = self._shard(position["epoch"], number)
            if opened is not None and opened.order:
                position["open"].append([number, 0, opened.fingerprint])
            elif opened is not None:
                self._close([(position["epoch"], number)])

    def _shard(self, epoch: int, number: int) -> _OpenShard | None:
        """A shard and the order in which this reader reads its samples; None if all of it is broken."""
        if (epoch, number) in self._opened:
            return self._opened[epoch, number]
        url = self.source.shards[number]
        counts, declared = self.reads.shards[number], declared_samples(url)
        try:
            with local_copy(
                url
            ) as path:  # a remote shard's copy loses its name here, and lives while it is open
                shard = Shard(path)
        except (BrokenShard, OSError) as error:
            self.skips.append(Skip(self.name, str(error), self._shown(number), declared or 1))
            counts.lost = 1.0
            return None
        faults, missing = shard.faults(declared)
        self.skips += [Skip(self.name, reason, self._shown(number), lost) for reason, lost in faults]
        counts.size, counts.lost = len(shard), missing / (len(shard) + missing)
        order = list(range(len(shard)))
        self._rng("samples", epoch, number).shuffle(order)
        if order and not self._shares_shards:  # of fewer samples than readers, some are read by two of them
            order = order[self.shard_id :: self.num_shards] or [order[self.shard_id % len(order)]]
        opened = self._opened[epoch, number] = _OpenShard(shard, order, shard.fingerprint())
        return opened

    def _close(self, shards: Iterable[tuple[int, int]]) -> None:
        for key in shards:
            self._opened.pop(key).shard.close()

    def state_dict(self) -> dict[str, Any]:
        """Its position, and how many shards its source has."""
        return {**deepcopy(self.position), "shards": len(self.source.shards)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where `state` was taken; raises ValueError if the source has another number of shards."""
        if state["shards"] != len(self.source.shards):
            raise ValueError(
                f"source {self.name!r} had {state['shards']} shards when this run was cut off and has "
                f"{len(self.source.shards)} now: put back what it had, or start another run"
            )
        self.position = {name: deepcopy(state[name]) for name in self.position}
