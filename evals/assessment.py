"""An assessment: how well an image shows what a prompt asks for, dimension by dimension, with reasons.

ILLUME section 3.4 names object, count, colour and spatial relation, an overall judgement, and a score with a rationale;
the wording is ours. One place turns an assessment into the words that a model learns, and one reads them back.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

HIGHEST = 10
WORD = re.compile(r"[a-z][a-z ]*[a-z]")


class Dimension(BaseModel):
    """One respect in which an image may miss its prompt: its name in dialogues, and what a judge is asked."""

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
    """Whether one dimension is right, and why it is not."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ok: bool
    reason: str = Field(max_length=2000)


class Assessment(BaseModel):
    """A judge's opinion of one image: verdicts by dimension, what is seen, a score, and whether it is right overall."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rationale: str = Field(max_length=4000)
    verdicts: dict[str, Verdict]
    score: int = Field(ge=0, le=HIGHEST)
    overall: bool


def check_dimensions(dimensions: Sequence[Dimension]) -> tuple[Dimension, ...]:
    """The dimensions as they are, if they can be told apart in a dialogue.

    Raises:
        ValueError: there is none, or a name is not of small letters, stands twice, or means something else.
    """
    names = [dimension.name for dimension in dimensions]
    wrong = [name for name in names if not WORD.fullmatch(name) or name in ("score", "overall")]
    if not names or wrong or len(set(names)) < len(names):
        raise ValueError(
            f"dimensions {', '.join(map(repr, names)) or 'are missing'}: each needs a name of its own in small letters, "
            "and neither score nor overall"
        )
    return tuple(dimensions)


@cache
def _answer(names: tuple[str, ...]) -> type[BaseModel]:
    """What a judge answers: one field a dimension, in order."""
    strict = ConfigDict(extra="forbid")
    fields: dict[str, Any] = {"rationale": (str, ...)}
    verdict = create_model("DimensionVerdict", __config__=strict, reason=(str, ...), ok=(bool, ...))
    fields |= {name.replace(" ", "_"): (verdict, ...) for name in names}
    return create_model("Answer", __config__=strict, **fields, score=(int, ...), overall=(bool, ...))


def json_schema(dimensions: Sequence[Dimension] = DIMENSIONS) -> dict[str, Any]:
    """The JSON schema of a judge's answer, for structured outputs: all fields required, none beside them."""
    return _answer(tuple(dimension.name for dimension in dimensions)).model_json_schema()


def from_json(text: str, dimensions: Sequence[Dimension] = DIMENSIONS) -> Assessment:
    """A judge's JSON answer, also where prose stands around it.

    Raises:
        ValueError: there is no JSON in it, or it is no assessment; says what is wrong.
    """
    said = _object(text)
    names = tuple(dimension.name for dimension in dimensions)
    try:
        answer = _answer(names).model_validate(said).model_dump()
        verdicts = {name: answer[name.replace(" ", "_")] for name in names}
        rest = {key: answer[key] for key in ("rationale", "score", "overall")}
        return Assessment(verdicts=verdicts, **rest)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        raise ValueError(f"{where}: {first['msg']}") from error


def _object(text: str) -> Mapping[str, Any]:
    """The first JSON object in a text."""
    decoder = json.JSONDecoder()
    for match in re.finditer(r"\{", text):
        try:
            found, _ = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        return found
    raise ValueError("there is no JSON object in the answer")


def to_text(assessment: Assessment) -> str:
    """The words that a model learns to write: what is seen first, then the verdicts that follow from it.

    "large red circle top left . object : yes . count : no , one asked for , two seen . ... . score : 7 . overall : no"
    """
    said = [_plain(assessment.rationale)]
    for name, verdict in assessment.verdicts.items():
        reason = "" if verdict.ok else _plain(verdict.reason)
        said.append(f"{name} : {_yes(verdict.ok)}" + (f" , {reason}" if reason else ""))
    return " . ".join([*said, f"score : {assessment.score}", f"overall : {_yes(assessment.overall)}"])


OPEN_END = "overall :"  # what stands before the last word, whose probability is the model's own confidence


def from_text(text: str, names: Sequence[str] = tuple(d.name for d in DIMENSIONS)) -> Assessment:
    """Reads what a model wrote back into an assessment.

    Raises:
        ValueError: it is not one.
    """
    marks = r"\s*\.\s*".join(rf"{re.escape(name)}\s*:\s*(yes|no)(?:\s*,\s*(.*?))?" for name in names)
    found = re.fullmatch(
        rf"\s*(.*?)\s*\.\s*{marks}\s*\.\s*score\s*:\s*(\d+)\s*\.\s*overall\s*:\s*(yes|no)\s*\.?\s*",
        " ".join(text.split()),
        re.IGNORECASE,
    )
    if found is None or int(found[found.lastindex - 1]) > HIGHEST:
        raise ValueError(f"the model wrote no assessment: {text[:120]!r}")
    rationale, *middle, score, overall = found.groups()
    pairs = zip(names, middle[::2], middle[1::2], strict=True)
    verdicts = {name: Verdict(ok=_is_yes(word), reason=reason or "") for name, word, reason in pairs}
    return Assessment(rationale=rationale, verdicts=verdicts, score=int(score), overall=_is_yes(overall))


def _yes(ok: bool) -> str:
    return "yes" if ok else "no"


def _is_yes(word: str) -> bool:
    return word.lower() == "yes"


def _plain(text: str) -> str:
    """One line whose full stops cannot be taken for the ends of verdicts."""
    return " ".join(text.replace(".", " ").replace(":", " ").split())
