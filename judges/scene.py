"""The playground's exact judge as an assessor: reads objects back and asks of them what the prompt asks for."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from judges.assessment import MAX_SCORE, Assessment, Verdict
from judges.judge import Judge, Unjudged
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

    def assess(self, prompts: Sequence[str], images: Tensor) -> list[Assessment | Unjudged]:
        """Exact opinions; a text that is no prompt of the playground is unjudged."""
        return [_assess(text, seen) for text, seen in zip(prompts, read(to_numpy(images)), strict=True)]


def _assess(text: str, reading: Reading) -> Assessment | Unjudged:
    try:
        spec = parse_prompt(text)
    except ValueError as error:
        return Unjudged(str(error))
    return assess_reading(reading, spec)


@dataclass(frozen=True)
class Asked:
    """One question about an image, its answer, and whether that is as the prompt wants it."""

    question: str
    answer: str
    ok: bool


def assess_reading(reading: Reading, spec: PromptSpec) -> Assessment:
    """What a reading has of what a prompt asks for.

    All four verdicts are yes where, and only where, it satisfies a prompt as the playground writes them. The reasons are
    questions in the words of the playground's own (`questions.py`) with their answers: a model that can answer
    them has only to draw the conclusion.
    """
    answered = {
        "object": _objects(reading, spec),
        "count": _counts(reading, spec),
        "colour": _colours(reading, spec),
        "relation": _relation(reading, spec),
    }
    verdicts = {name: _verdict(asked) for name, asked in answered.items()}
    right = sum(verdict.ok for verdict in verdicts.values())
    return Assessment(
        rationale=describe(reading),
        verdicts=verdicts,
        score=round(MAX_SCORE * right / len(verdicts)),
        overall=satisfies(reading, spec).ok,
    )


def _verdict(asked: Sequence[Asked]) -> Verdict:
    reason = " , ".join(f"{one.question} {one.answer}" for one in asked)
    return Verdict(ok=all(one.ok for one in asked), reason=reason)


def _yes_no(question: str, ok: bool) -> Asked:
    """A question to which the prompt wants a yes."""
    return Asked(question, "yes" if ok else "no", ok)


def describe(reading: Reading) -> str:
    """What is seen, object by object in reading order, in the words of the playground's dense captions."""
    middle = sum(RADIUS) / 2
    seen = sorted(reading.objects, key=cell_of)
    said = [f"{'large' if o.radius > middle else 'small'} {o} {cell_name(o)}" for o in seen]
    return " , ".join(said) or "nothing"


def _by_shape(objects: Sequence[SeenObject]) -> Counter[str]:
    return Counter(item.shape for item in objects)


def _wanted(spec: PromptSpec) -> Counter[str]:
    wanted: Counter[str] = Counter()
    for count, _, shape in spec.objects:
        wanted[shape] += count
    return wanted


def _objects(reading: Reading, spec: PromptSpec) -> list[Asked]:
    """Is each shape there, and what else is."""
    wanted, seen = _wanted(spec), _by_shape(reading.objects)
    extra = [
        "something unclear" if shape == UNKNOWN else noun(1, None, shape)
        for shape in seen
        if shape not in wanted
    ]
    return [
        *(_yes_no(f"is there {noun(1, None, shape)} ?", seen[shape] > 0) for shape in wanted),
        Asked("what else is there ?", enumerate_nouns(extra) if extra else "nothing", not extra),
    ]


def _counts(reading: Reading, spec: PromptSpec) -> list[Asked]:
    """Are there as many; of what is missing altogether this is not asked."""
    seen = _by_shape(reading.objects)
    return [_counted(shape, count, seen[shape]) for shape, count in _wanted(spec).items() if seen[shape]]


def _counted(shape: str, count: int, seen: int) -> Asked:
    if count > 1:
        return _yes_no(f"are there exactly {noun(count, None, shape)} ?", seen == count)
    number = NUMBERS[seen] if seen <= MAX_OBJECTS else f"more than {NUMBERS[MAX_OBJECTS]}"
    return Asked(f"how many {noun(2, None, shape).removeprefix('two ')} are there ?", number, seen == count)


def _colours(reading: Reading, spec: PromptSpec) -> list[Asked]:
    """Has what is asked for in a colour that colour; of a shape that is missing altogether this is not asked."""
    seen = _by_shape(reading.objects)
    asked: list[Asked] = []
    for shape in _wanted(spec):
        kinds = [(count, colour) for count, colour, other in spec.objects if other == shape]
        for count, colour in kinds if seen[shape] else ():
            if colour is not None:
                having = len(_like(reading, colour, shape))
                asked.append(_coloured(shape, colour, count, having, seen[shape], len(kinds)))
    return asked


def _coloured(shape: str, colour: str, count: int, having: int, seen: int, kinds: int) -> Asked:
    """`having` of the `seen` objects of this shape have the colour, where `count` should, beside other kinds or none."""
    if kinds == count == seen == 1:
        return _yes_no(f"is the {shape} {colour} ?", having == 1)
    if count > 1 and (kinds > 1 or seen == count):
        return _yes_no(f"are there exactly {noun(count, colour, shape)} ?", having == count)
    return _yes_no(f"is there {noun(1, colour, shape)} ?", having > 0)


def _relation(reading: Reading, spec: PromptSpec) -> list[Asked]:
    """Do they stand as asked; nothing where the prompt names no relation, or one of the two is not there."""
    if spec.relation is None:
        return []
    (_, *first), (_, *second) = spec.objects
    pairs = [(a, b) for a in _like(reading, *first) for b in _like(reading, *second)]
    words = [f"the {colour} {shape}" if colour else f"the {shape}" for colour, shape in (first, second)]
    ok = all(relation(a, b) == spec.relation for a, b in pairs)
    return [_yes_no(f"is {words[0]} {spec.relation} {words[1]} ?", ok)] if pairs else []


def _like(reading: Reading, colour: str | None, shape: str) -> list[SeenObject]:
    return [o for o in reading.objects if o.shape == shape and colour in (None, o.colour)]
