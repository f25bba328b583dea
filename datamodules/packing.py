"""Packs documents into rows of one length, with a look-ahead: what does not fit this row waits for one that it fills.

The buffer of waiting documents is saved as their addresses, and read again when a run is resumed.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from datamodules.loader import Batch, Reader
from datamodules.source_stream import Address, Item
from datamodules.stream import MixedStream
from models.sequence import collate

LOOK_AHEAD = 64  # documents that wait


def fill_row(lengths: Sequence[int], capacity: int) -> list[int]:
    """Chooses documents for a row: the one that has waited longest, then such that the row is filled best.

    Args:
        lengths: of the waiting documents, the oldest first; none is longer than `capacity`.
        capacity: tokens in the row.

    Returns:
        Indices of the chosen, the oldest first.
    """
    left = capacity - lengths[0]
    # every total that can be had from the others, as the bits of one number; the history shows how
    reached, history = 1, []
    for length in lengths[1:]:
        history.append(reached)
        reached |= (reached << length) & ((1 << left + 1) - 1)
    total, chosen = reached.bit_length() - 1, [0]
    for number in range(len(history), 0, -1):
        if not history[number - 1] >> total & 1:  # that total needs this document
            chosen.append(number)
            total -= lengths[number]
    return sorted(chosen)


class PackedReader(Reader):
    """Packed batches of a stream of segments.

    Args:
        stream: gives segments no longer than a row.
        length: tokens in a row.
        rows: of a batch.
        pad: id of the token that fills a row.
        look_ahead: documents that may wait.
    """

    def __init__(
        self, stream: MixedStream, length: int, rows: int = 1, pad: int = 0, look_ahead: int = LOOK_AHEAD
    ) -> None:
        super().__init__(stream)
        self.length, self.rows, self.pad, self.look_ahead = length, rows, pad, look_ahead
        self.waiting: list[Item] = []

    def row(self) -> list[Item]:
        """The documents of the next row."""
        while len(self.waiting) < self.look_ahead:
            self.waiting.append(next(self.stream))
        chosen = set(fill_row([len(item.value) for item in self.waiting], self.length))
        row = [item for i, item in enumerate(self.waiting) if i in chosen]
        self.waiting = [item for i, item in enumerate(self.waiting) if i not in chosen]
        return row

    def batch(self) -> Batch:
        """The next batch, of a `PackedBatch`."""
        rows = [self.row() for _ in range(self.rows)]
        items = [item for row in rows for item in row]
        numbers = iter(range(len(items)))
        by_row = [[next(numbers) for _ in row] for row in rows]
        packed = collate([item.value for item in items], by_row, self.length, self.pad)
        samples: Counter[str] = Counter()
        tokens: Counter[str] = Counter()
        for item in items:
            samples[item.address.source] += 1
            tokens[item.address.source] += len(item.value)
        return Batch(packed, dict(samples), dict(tokens), self.rows * self.length)

    def state_dict(self) -> dict[str, Any]:
        """The stream's state, and the addresses of what waits."""
        return {"stream": self.stream.state_dict(), "waiting": [list(item.address) for item in self.waiting]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where `state` was taken; what waited is read again."""
        self.stream.load_state_dict(state["stream"])
        self.waiting = self.stream.reread([Address(*address) for address in state["waiting"]])
