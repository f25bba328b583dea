"""The playground's exact judge as an assessor: reads objects back and says what differs from the prompt, and where."""

from collections import Counter
from collections.abc import Sequence

from torch import Tensor

from evals.assessment import HIGHEST, Assessment, Verdict
from evals.judges.judge import Judge, Unjudged
from evals.pixels import arrays
from playground.captions import place_name
from playground.judge import UNKNOWN, Reading, SeenObject, read, satisfies
from playground.parse import parse_prompt
from playground.prompts import PromptSpec, enumerate_nouns, noun
from playground.scene import MAX_OBJECTS, RADIUS, relation


class SceneJudge(Judge):
    """Stands in the playground where GPT-4o stands in the paper."""

    name = "scene"

    def __init__(self) -> None:
        super().__init__()

    def assess(self, prompts: Sequence[str], images: Tensor) -> list[Assessment | Unjudged]:
        """Exact opinions; a text that is no prompt of the playground is unjudged."""
        return [_assess(text, seen) for text, seen in zip(prompts, read(arrays(images)), strict=True)]


def _assess(text: str, reading: Reading) -> Assessment | Unjudged:
    try:
        spec = parse_prompt(text)
    except ValueError as error:
        return Unjudged(str(error))
    return assess_reading(reading, spec)


def assess_reading(reading: Reading, spec: PromptSpec) -> Assessment:
    """What a reading has of what a prompt asks for.

    All four verdicts are yes where, and only where, it satisfies a prompt as the playground writes them.
    """
    verdict = satisfies(reading, spec)
    reasons = {
        "object": _objects(reading, spec),
        "count": _counts(reading, spec),
        "colour": _colours(reading, spec),
        "relation": _relation(reading, spec),
    }
    right = sum(not reason for reason in reasons.values())
    return Assessment(
        rationale=describe(reading),
        verdicts={name: Verdict(ok=not reason, reason=reason) for name, reason in reasons.items()},
        score=round(HIGHEST * right / len(reasons)),
        overall=verdict.ok,
    )


def describe(reading: Reading) -> str:
    """What is seen, object by object, in the words of the playground's dense captions."""
    middle = sum(RADIUS) / 2
    said = [f"{'large' if o.radius > middle else 'small'} {o} {place_name(o)}" for o in reading.objects]
    return " , ".join(said) or "nothing"


def _by_shape(objects: Sequence[SeenObject]) -> Counter[str]:
    return Counter(item.shape for item in objects)


def _wanted(spec: PromptSpec) -> Counter[str]:
    wanted: Counter[str] = Counter()
    for count, _, shape in spec.objects:
        wanted[shape] += count
    return wanted


def _objects(reading: Reading, spec: PromptSpec) -> str:
    """Shapes that are missing, and shapes that nobody asked for."""
    wanted, seen = _wanted(spec), _by_shape(reading.objects)
    missing = [noun(1, None, shape) for shape in wanted if not seen[shape]]
    extra = [
        "something unclear" if shape == UNKNOWN else noun(1, None, shape)
        for shape in seen
        if shape not in wanted
    ]
    said = [f"{enumerate_nouns(missing)} is missing"] if missing else []
    return " , ".join([*said, *([f"{enumerate_nouns(extra)} is not asked for"] if extra else [])])


def _counts(reading: Reading, spec: PromptSpec) -> str:
    """Shapes that are there in another number than asked for; what is missing altogether is no matter of number."""
    seen = _by_shape(reading.objects)
    wrong = [
        f"{_number(seen[shape], shape)} and not {_number(count, shape)}"
        for shape, count in _wanted(spec).items()
        if seen[shape] not in (0, count)
    ]
    return " , ".join(wrong)


def _number(count: int, shape: str) -> str:
    """As "two stars", or "more than four stars": the playground counts no further."""
    more = "more than " if count > MAX_OBJECTS else ""
    return more + noun(min(count, MAX_OBJECTS), None, shape, article="one")


def _colours(reading: Reading, spec: PromptSpec) -> str:
    """Objects whose shape is asked for, in a colour that is not, or that stands in for another one's."""
    wrong = []
    for shape in _wanted(spec):
        asked = Counter({colour: count for count, colour, other in spec.objects if other == shape})
        rest = Counter(item.colour for item in reading.objects if item.shape == shape)
        for colour in list(rest):
            matched = min(rest[colour], asked[colour])
            rest[colour] -= matched
            asked[colour] -= matched
        free = asked.pop(None, 0)
        odd, lacking = list((+rest).elements())[free:], list((+asked).elements())
        wrong += [
            f"{noun(1, None if is_ == UNKNOWN else is_, shape)} and not {noun(1, colour, shape)}"
            for is_, colour in zip(odd, lacking, strict=False)
        ]
    return " , ".join(wrong)


def _relation(reading: Reading, spec: PromptSpec) -> str:
    """Where the objects stand instead; nothing where the prompt names no relation, or one of the two is not there."""
    if spec.relation is None:
        return ""
    firsts, seconds = (
        [o for o in reading.objects if o.shape == shape and colour in (None, o.colour)]
        for _, colour, shape in spec.objects
    )
    places = [(a, relation(a, b) or "neither beside nor above", b) for a in firsts for b in seconds]
    wrong = [f"the {a} is {where} the {b}" for a, where, b in places if where != spec.relation]
    return " , ".join(wrong[:2])
