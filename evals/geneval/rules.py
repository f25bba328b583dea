"""GenEval's rules: whether an image is correct, by the objects detected in it, and if not, why.

The rules are those of the official scorer (djghosh13/geneval, evaluation/evaluate_images.py), written anew; the reasons
have its wording, so that results can be compared line by line.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import copysign, hypot

from evals.geneval.detection import Box, Detection
from evals.geneval.metadata import Prompt, Requirement
from evals.geneval.vocabulary import COLOURS

MIN_OFFSET = 1e-3  # pixels
Group = Sequence[Detection] | None  # the objects that met a requirement; None: it was not met
ReadColours = Callable[[Sequence[Detection], str], list[str]]


@dataclass(frozen=True)
class Rules:
    """What counts, with the official values."""

    threshold: float = 0.3  # score that a detection must exceed
    counting_threshold: float = 0.9  # the same for the task of counting
    most: int = 16  # detections of a class
    overlap: float = 1.0  # IoU from which two detections of a class are one; 1: never
    slack: float = 0.1  # share of both objects' sizes by which an offset is shortened before it counts
    lead: float = 0.5  # share of the whole offset that an axis must exceed to give a relation

    def __post_init__(self) -> None:
        for name in ("threshold", "counting_threshold"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is out of range: from 0, below 1")
        if not 0 < self.overlap <= 1:
            raise ValueError(f"overlap {self.overlap} is out of range: above 0, at most 1 (none is dropped)")

    def threshold_for(self, tag: str) -> float:
        """The score that a detection must exceed in a task."""
        return self.counting_threshold if tag == "counting" else self.threshold


@dataclass(frozen=True)
class Verdict:
    """Whether an image is correct, and every reason why not."""

    correct: bool
    reasons: list[str]


def judge(
    prompt: Prompt, found: Mapping[str, Sequence[Detection]], read_colours: ReadColours, rules: Rules
) -> Verdict:
    """Holds detections, as `detection.select` returns them, against a prompt; reads colours where they are asked for."""
    groups: list[Group] = []
    reasons: list[str] = []
    for wanted in prompt.include:
        objects = list(found.get(wanted.name, ()))[: wanted.count]
        reason = _unmet(wanted, objects, groups, read_colours, rules)
        groups.append(None if reason else objects)
        reasons += [reason] if reason else []
    for unwanted in prompt.exclude:
        count = len(found.get(unwanted.name, ()))
        if count >= unwanted.count:
            reasons.append(f"expected {unwanted.name}<{unwanted.count}, found {count}")
    return Verdict(not reasons, reasons)


def _unmet(
    wanted: Requirement,
    objects: Sequence[Detection],
    groups: Sequence[Group],
    read_colours: ReadColours,
    rules: Rules,
) -> str | None:
    """Why a requirement is not met, if it is not: number, then colour, then position."""
    if len(objects) < wanted.count:
        return f"expected {wanted.name}>={wanted.count}, found {len(objects)}"
    if wanted.colour is not None and (reason := _wrong_colour(wanted, read_colours(objects, wanted.name))):
        return reason
    if wanted.relation is None:
        return None
    return _wrong_position(wanted, wanted.relation, objects, groups[wanted.target], rules)


def _wrong_colour(wanted: Requirement, colours: Sequence[str]) -> str | None:
    right = colours.count(str(wanted.colour))
    if right >= wanted.count:
        return None
    order = sorted(set(colours), key=lambda c: (COLOURS.index(c) if c in COLOURS else len(COLOURS), c))
    listed = ", ".join(f"{colours.count(colour)} {colour}" for colour in order)
    return (
        f"expected {wanted.colour} {wanted.name}>={wanted.count}, found {right} {wanted.colour}; and {listed}"
    )


def _wrong_position(
    wanted: Requirement, relation: str, objects: Sequence[Detection], targets: Group, rules: Rules
) -> str | None:
    if targets is None:
        return f"no target for {wanted.name} to be {relation}"
    for one in objects:
        for other in targets:
            seen = relations(one.box, other.box, rules)
            if relation not in seen:
                return f"expected {wanted.name} {relation} target, found {' and '.join(seen)} target"
    return None


def relations(a: Box, b: Box, rules: Rules) -> list[str]:
    """Where box `a` lies as seen from box `b`: none of the relations, one, or two on a diagonal."""
    dx, dy = ((a[i] + a[i + 2] - b[i] - b[i + 2]) / 2 for i in (0, 1))
    right, down = (
        copysign(max(abs(offset) - rules.slack * (abs(a[i + 2] - a[i]) + abs(b[i + 2] - b[i])), 0), offset)
        for i, offset in ((0, dx), (1, dy))
    )
    if max(abs(right), abs(down)) < MIN_OFFSET:
        return []
    whole = hypot(dx, dy)
    leads = {"left of": -right, "right of": right, "above": -down, "below": down}
    return [name for name, lead in leads.items() if lead / whole > rules.lead]
