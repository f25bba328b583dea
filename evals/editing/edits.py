"""An editing test set: edits to draw, and what each result is compared with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

ReadBytes = Callable[[], bytes]  # of an image file, when it is needed


@dataclass(frozen=True)
class Edit:
    """An edit to draw.

    Args:
        name: file of its result.
        instruction: to the model.
        before: the image to edit.
        series: edits of which some start from others' results.
        turn: in the series.
    """

    name: str
    instruction: str
    before: ReadBytes
    series: str = ""
    turn: int = 0


@dataclass(frozen=True)
class Comparison:
    """What a result is compared with.

    Args:
        name: file of the result.
        before: the image before the edit, or before the first of several.
        reference: the image that the result should resemble.
        caption_before: of `before`.
        caption_after: of what the result should show.
        cluster: what edits of one image, or turns of one session, have in common.
        task: the kind of edit, where the test set names it.
    """

    name: str
    before: ReadBytes
    reference: ReadBytes
    caption_before: str
    caption_after: str
    cluster: str
    task: str | None = None


@dataclass(frozen=True)
class EditingTestSet:
    """A test set as it is on disk.

    Args:
        edits: all that may be drawn, in order; an edit's index fixes its seed.
        wanted: the names of those that are asked for.
        comparisons: what is measured, by its name in the report.
        protocol: description of the measures.
    """

    edits: Sequence[Edit]
    wanted: frozenset[str]
    comparisons: dict[str, Sequence[Comparison]]
    protocol: str
