"""An editing test set: edits to draw, and what each result is compared with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

ReadBytes = Callable[[], bytes]  # of an image file, when it is needed


@dataclass(frozen=True)
class Edit:
    """An edit to draw; those of one series start from each other's results, turn by turn."""

    name: str  # file of its result
    instruction: str
    before: ReadBytes  # the image to edit
    series: str = ""
    turn: int = 0


@dataclass(frozen=True)
class Comparison:
    """What a result is compared with."""

    name: str  # file of the result
    before: ReadBytes  # the image before the edit, or before the first of several
    reference: ReadBytes  # the image that the result should resemble
    caption_before: str
    caption_after: str  # of what the result should show
    cluster: str  # what edits of one image, or turns of one session, have in common
    task: str | None = None  # the kind of edit, where the test set names it


@dataclass(frozen=True)
class EditingTestSet:
    """A test set as it is on disk."""

    edits: Sequence[Edit]  # all that may be drawn, in order; an edit's index fixes its seed
    wanted: frozenset[str]  # the names of those that are asked for
    comparisons: dict[str, Sequence[Comparison]]  # what is measured, by its name in the report
    protocol: str  # of the measures
