"""An assessment: how well an image shows what a prompt asks for, dimension by dimension, with reasons.

ILLUME section 3.4 names object, count, colour and spatial relation, an overall judgement, and a score with a rationale;
the wording is ours. As text it is what a model learns to write, and as JSON what a judge answers.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

MAX_SCORE = 10
SENTENCE = re.compile(r"([A-Za-z][A-Za-z ]*?) ?: ?(?:(.*) ?, ?)?(\w+)")
NAME = re.compile(r"[a-z]{2,}|[a-z]+(?: [a-z]+)+")
PLACEHOLDER = "..."  # for text in the form that a prompt shows
RESERVED = ("rationale", "score", "overall")
OVERALL = "overall :"  # before the last verdict, whose probability is the model's own confidence


class Dimension(BaseModel):
    """One respect in which an image may miss its prompt: its name in dialogues, and the question for a judge."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    question: str


DIMENSIONS = (
    Dimension(
        name="object", question="Is every object that the prompt names there, and nothing it does not name?"
    ),
    Dimension(name="count", question="Is there the number of each object that the prompt asks for?"),
    Dimension(name="colour", question="Has every object the colour that the prompt gives it?"),
    Dimension(name="relation", question="Do the objects stand to each other as the prompt says?"),
)


class Verdict(BaseModel):
    """Whether one dimension is right, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ok: bool
    reason: str = Field(max_length=2000)


class Assessment(BaseModel):
    """An assessment of one image: what is seen, verdicts by dimension, a score, and whether it is right overall."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rationale: str = Field(max_length=4000)
    verdicts: dict[str, Verdict]
    score: int = Field(ge=0, le=MAX_SCORE)
    overall: bool


def check_dimensions(dimensions: Sequence[Dimension]) -> tuple[Dimension, ...]:
    """Returns dimensions that have questions, and are distinct in a dialogue.

    Raises:
        ValueError: there is none, a question is blank, or a name is not of small letters, not unique, or reserved.
    """
    names = [dimension.name for dimension in dimensions]
    wrong = [
        n for n in names if not NAME.fullmatch(n) or n in RESERVED or hasattr(BaseModel, n.replace(" ", "_"))
    ]
    if not names or wrong or len(set(names)) < len(names):
        raise ValueError(
            f"dimensions {', '.join(map(repr, wrong or names)) or 'are missing'}: each needs a name of its own, words of "
            f"small letters with a blank between them, which is none of {', '.join(RESERVED)} and none of pydantic's own"
        )
    for dimension in dimensions:
        if not dimension.question.strip():
            raise ValueError(f"dimensions: {dimension.name} has no question")
    return tuple(dimensions)


@cache
def answer_model(names: tuple[str, ...]) -> type[BaseModel]:
    """The fields of a judge's answer: one for each dimension, in order."""
    strict = ConfigDict(extra="forbid")
    fields: dict[str, Any] = {"rationale": (str, ...)}
    verdict = create_model("DimensionVerdict", __config__=strict, reason=(str, ...), ok=(bool, ...))
    fields |= {name.replace(" ", "_"): (verdict, ...) for name in names}
    return create_model("Answer", __config__=strict, **fields, score=(int, ...), overall=(bool, ...))


def json_schema(dimensions: Sequence[Dimension] = DIMENSIONS) -> dict[str, Any]:
    """The JSON schema of a judge's answer, for structured outputs: all fields required, no others."""
    return answer_model(tuple(dimension.name for dimension in dimensions)).model_json_schema()


def json_example(dimensions: Sequence[Dimension] = DIMENSIONS) -> str:
    """The form of a judge's answer as text, for servers without structured outputs."""
    verdict = f'{{"reason": "{PLACEHOLDER}", "ok": true}}'
    fields = [f'"{dimension.name.replace(" ", "_")}": {verdict}' for dimension in dimensions]
    return "{" + ", ".join([f'"rationale": "{PLACEHOLDER}"', *fields, '"score": 7', '"overall": false']) + "}"


def to_text(assessment: Assessment, max_words: int | None = None) -> str:
    """The text that a model learns to write: what is seen first, then the verdicts that follow from it.

    "large red circle top left . object : yes . count : no , one asked for , two seen . ... . score : 7 . overall : no"

    `max_words` is of the rationale and of each reason, for a row that holds no more; None: all of them.
    """
    sentences = [_plain(assessment.rationale, max_words)]
    for name, verdict in assessment.verdicts.items():
        reason, ok = _plain(verdict.reason, max_words), _yes(verdict.ok)
        sentences.append(f"{name} : {reason} , {ok}" if reason else f"{name} : {ok}")
    return " . ".join([*sentences, f"score : {assessment.score}", f"{OVERALL} {_yes(assessment.overall)}"])


def from_text(text: str) -> Assessment:
    """Reads what a model wrote back into an assessment, whatever its dimensions are.

    Raises:
        ValueError: it is not one.
    """
    rationale, *sentences = [" ".join(part.split()) for part in text.rstrip(" .").split(".")]
    found = [match for sentence in sentences if (match := SENTENCE.fullmatch(sentence))]
    names = [match[1].lower() for match in found]
    values = [match[3].lower() for match in found]
    right = len(found) == len(sentences) >= 3 and names[-2:] == ["score", "overall"]
    right = right and len(set(names)) == len(names) and {*values[:-2], values[-1]} <= {"yes", "no"}
    if not right or not values[-2].isdigit() or int(values[-2]) > MAX_SCORE:
        raise ValueError(f"the model wrote no assessment: {text[:120]!r}")
    reasons = [(match[2] or "").strip() for match in found]
    rows = zip(names[:-2], values, reasons, strict=False)
    return Assessment(
        rationale=rationale,
        verdicts={name: Verdict(ok=value == "yes", reason=reason) for name, value, reason in rows},
        score=int(values[-2]),
        overall=values[-1] == "yes",
    )


def longest_text(assessment: Assessment) -> int:
    """Words of the longest rationale or reason in an assessment."""
    texts = [assessment.rationale, *(verdict.reason for verdict in assessment.verdicts.values())]
    return max(len(_plain(text, None).split()) for text in texts)


def _yes(ok: bool) -> str:
    return "yes" if ok else "no"


def _plain(text: str, max_words: int | None) -> str:
    """One line whose full stops cannot be taken for the ends of verdicts."""
    return " ".join(text.replace(".", " ").replace(":", " ").split()[:max_words])
