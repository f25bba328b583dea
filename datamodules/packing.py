"""Documents into rows of one length, with a look-ahead: what does not fit this row waits for one that it fills.

The buffer of waiting documents is remembered as their addresses, and read again when a run goes on.
"""

from collections.abc import Sequence
from typing import Any

from datamodules.stream import Address, Item, MixedStream

LOOK_AHEAD = 64  # documents that wait


def fill_row(lengths: Sequence[int], room: int) -> list[int]:
    """Chooses documents for a row: the one that has waited longest, then such that the row is filled best.

    Args:
        lengths: of the waiting documents, the oldest first; none is longer than `room`.
        room: tokens in the row.

    Returns:
        Indices of the chosen, the oldest first.
    """
    left = room - lengths[0]
    # every total that can be had from the others, as the bits of one number; the history tells how
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


class Packer:
    """Rows of documents out of a stream of segments.

    Args:
        stream: gives segments no longer than a row.
        length: tokens in a row.
        look_ahead: documents that may wait.
    """

    def __init__(self, stream: MixedStream, length: int, look_ahead: int = LOOK_AHEAD) -> None:
        self.stream, self.length, self.look_ahead = stream, length, look_ahead
        self.waiting: list[Item] = []

    def row(self) -> list[Item]:
        """The documents of the next row."""
        while len(self.waiting) < self.look_ahead:
            self.waiting.append(next(self.stream))
        chosen = fill_row([len(item.value) for item in self.waiting], self.length)
        row = [self.waiting[i] for i in chosen]
        self.waiting = [item for i, item in enumerate(self.waiting) if i not in set(chosen)]
        return row

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands, and the addresses of what waits."""
        return {
            "stream": self.stream.state_dict(),
            "waiting": [list(item.address) for item in self.waiting],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken; what waited is read again."""
        self.stream.load_state_dict(state["stream"])
        self.waiting = self.stream.reread([Address(*address) for address in state["waiting"]])
