"""What an editing benchmark asks for: edits to draw, and what each result is held against."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Reads = Callable[[], bytes]  # an image file's bytes, read when they are needed


@dataclass(frozen=True)
class Edit:
    """An edit to draw.

    Attributes:
        name: where its result goes.
        instruction: the words.
        before: the image that they are about.
        series: what it belongs to, where edits go on from each other's results.
        round: its place in that.
    """

    name: str
    instruction: str
    before: Reads
    series: str = ""
    round: int = 0


@dataclass(frozen=True)
class Comparison:
    """What a result is held against.

    Attributes:
        name: the result's.
        before: the image before the edit, or before the first of several.
        reference: the image that it should be like.
        words_before: what `before` shows.
        words_after: what the result should show.
        group: what belongs together, as edits of one image do.
        task: the kind of edit, where the benchmark tells.
    """

    name: str
    before: Reads
    reference: Reads
    words_before: str
    words_after: str
    group: str
    task: str | None = None


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as it is on disk.

    Attributes:
        name: its suite's.
        edits: all that may be drawn, in order; an edit's number fixes its seed.
        wanted: the names of those that are asked for.
        comparisons: what is measured, by what the report calls it.
        protocol: how, in words.
    """

    name: str
    edits: Sequence[Edit]
    wanted: frozenset[str]
    comparisons: dict[str, Sequence[Comparison]]
    protocol: str
