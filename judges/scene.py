"""The playground's exact judge as an assessor: reads objects back and compares them with the prompt."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from judges.assessment import MAX_SCORE, Assessment, Verdict
from judges.judge import Judge, Opinion, Unjudged
from judges.pixels import to_numpy
from worlds.playground.captions import cell_name
from worlds.playground.judge import UNKNOWN, Reading, SeenObject, read, satisfies
from worlds.playground.prompts import NUMBERS, PromptSpec, enumerate_nouns, noun, parse_prompt
from worlds.playground.sampler import cell_of
from worlds.playground.scene import MAX_OBJECTS, RADIUS, relation


class SceneJudge(Judge):
    """Stands in the playground where GPT-4o stands in the paper."""

    name = "scene"

    def __init__(self) -> None:
        super().__init__()

    def assess(self, prompts: Sequence[str], images: Tensor) -> list[Opinion]:
        """Exact opinions; a text that is no prompt of the playground is unjudged."""
        return [_assess(text, seen) for text, seen in zip(prompts, read(to_numpy(images)), strict=True)]


def _assess(text: str, reading: Reading) -> Opinion:
    try:
        spec = parse_prompt(text)
    except ValueError as error:
        return Unjudged(str(error))
    return assess_reading(reading, spec)


class Answer(NamedTuple):
    """A question about an image with its answer, and whether that is as the prompt wants it."""

    text: str
    ok: bool


def assess_reading(reading: Reading, spec: PromptSpec) -> Assessment:
    """Compares what was read from an image with what a prompt asks for.

    All four verdicts are yes where, and only where, it satisfies a prompt as the playground writes them. The reasons are
    the playground's own questions (`questions.py`) with their answers: a model that can answer them has only to draw the
    conclusion.
    """
    wanted: Counter[str] = Counter()
    for count, _, shape in spec.objects:
        wanted[shape] += count
    seen = Counter(item.shape for item in reading.objects)
    answers = {
        "object": _objects(wanted, seen),
        "count": [_count(shape, count, seen[shape]) for shape, count in wanted.items() if seen[shape]],
        "colour": _colours(reading, spec, seen),
        "relation": _relation(reading, spec),
    }
    verdicts = {
        name: Verdict(ok=all(one.ok for one in of), reason=" , ".join(one.text for one in of))
        for name, of in answers.items()
    }
    return Assessment(
        rationale=describe(reading),
        verdicts=verdicts,
        score=round(MAX_SCORE * sum(verdict.ok for verdict in verdicts.values()) / len(verdicts)),
        overall=satisfies(reading, spec).ok,
    )


def _yes_no(question: str, ok: bool) -> Answer:
    """A question to which the prompt wants a yes."""
    return Answer(f"{question} {'yes' if ok else 'no'}", ok)


def describe(reading: Reading) -> str:
    """What is seen, object by object in reading order, as the playground's dense captions have it."""
    middle = sum(RADIUS) / 2
    seen = sorted(reading.objects, key=cell_of)
    return (
        " , ".join(f"{'large' if o.radius > middle else 'small'} {o} {cell_name(o)}" for o in seen)
        or "nothing"
    )


def _objects(wanted: Counter[str], seen: Counter[str]) -> list[Answer]:
    """Is each shape there, and what else is."""
    others = [shape for shape in seen if shape not in wanted]
    extra = ["something unclear" if shape == UNKNOWN else noun(1, None, shape) for shape in others]
    return [
        *(_yes_no(f"is there {noun(1, None, shape)} ?", seen[shape] > 0) for shape in wanted),
        Answer(f"what else is there ? {enumerate_nouns(extra) if extra else 'nothing'}", not extra),
    ]


def _count(shape: str, count: int, seen: int) -> Answer:
    if count > 1:
        return _yes_no(f"are there exactly {noun(count, None, shape)} ?", seen == count)
    number = NUMBERS[seen] if seen <= MAX_OBJECTS else f"more than {NUMBERS[MAX_OBJECTS]}"
    plural = noun(2, None, shape).removeprefix("two ")
    return Answer(f"how many {plural} are there ? {number}", seen == count)


def _colours(reading: Reading, spec: PromptSpec, seen: Counter[str]) -> list[Answer]:
    """Do objects have the colours asked for; of a shape that is missing altogether this is not asked."""
    kinds = Counter(shape for _, _, shape in spec.objects)
    # the first kind of each shape, then the others, as the prompt's shapes come
    objects = sorted(spec.objects, key=lambda one: list(kinds).index(one[2]))
    return [
        _colour(shape, colour, count, len(_select(reading, colour, shape)), seen[shape], kinds[shape])
        for count, colour, shape in objects
        if colour is not None and seen[shape]
    ]


def _colour(shape: str, colour: str, count: int, having: int, seen: int, kinds: int) -> Answer:
    """`having` of the `seen` objects of this shape have the colour, where `count` should, beside other kinds or none."""
    if kinds == count == seen == 1:
        return _yes_no(f"is the {shape} {colour} ?", having == 1)
    if count > 1 and (kinds > 1 or seen == count):
        return _yes_no(f"are there exactly {noun(count, colour, shape)} ?", having == count)
    return _yes_no(f"is there {noun(1, colour, shape)} ?", having > 0)


def _relation(reading: Reading, spec: PromptSpec) -> list[Answer]:
    """Do they stand as asked; nothing where the prompt names no relation, or one of the two is not there."""
    if spec.relation is None:
        return []
    first, second = ((colour, shape) for _, colour, shape in spec.objects)
    pairs = [(a, b) for a in _select(reading, *first) for b in _select(reading, *second)]
    one, other = (f"the {colour} {shape}" if colour else f"the {shape}" for colour, shape in (first, second))
    ok = all(relation(a, b) == spec.relation for a, b in pairs)
    return [_yes_no(f"is {one} {spec.relation} {other} ?", ok)] if pairs else []


def _select(reading: Reading, colour: str | None, shape: str) -> list[SeenObject]:
    return [o for o in reading.objects if o.shape == shape and colour in (None, o.colour)]
