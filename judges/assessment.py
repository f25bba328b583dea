"""An assessment: how well an image shows what a prompt asks for, dimension by dimension, with reasons.

ILLUME section 3.4 names object, count, colour and spatial relation, an overall judgement, and a score with a rationale;
the wording is ours. One place turns an assessment into the words that a model learns, and one reads them back.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from itertools import islice
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

HIGHEST = 10
LONGEST_ANSWER, MOST_OBJECTS = (
    100_000,
    20,
)  # letters of a judge's answer that are looked at, and beginnings of objects
SENTENCE = re.compile(r"([A-Za-z][A-Za-z ]*?) ?: ?(?:(.*) ?, ?)?(\w+)")
SCORE = re.compile(r"\s*(\d{1,3}(?:[.,]\d{1,6})?)\s*(?:(?:/|of|out of)\s*(\d{1,3}))?\s*")
WORD = re.compile(r"[a-z]{2,}|[a-z]+(?: [a-z]+)+")


BLANK = "..."  # what stands for words in the form that a prompt shows
RESERVED = ("rationale", "score", "overall")


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
    """Whether one dimension is right, and why."""

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
    wrong = [
        n for n in names if not WORD.fullmatch(n) or n in RESERVED or hasattr(BaseModel, n.replace(" ", "_"))
    ]
    if not names or wrong or len(set(names)) < len(names):
        raise ValueError(
            f"dimensions {', '.join(map(repr, wrong or names)) or 'are missing'}: each needs a name of its own, words of "
            f"small letters with a blank between them, which is none of {', '.join(RESERVED)} and none of pydantic's own"
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


def json_example(dimensions: Sequence[Dimension] = DIMENSIONS) -> str:
    """The form of a judge's answer in words, for servers that force none."""
    verdict = f'{{"reason": "{BLANK}", "ok": true}}'
    fields = [f'"{dimension.name.replace(" ", "_")}": {verdict}' for dimension in dimensions]
    return "{" + ", ".join([f'"rationale": "{BLANK}"', *fields, '"score": 7', '"overall": false']) + "}"


def from_json(text: str, dimensions: Sequence[Dimension] = DIMENSIONS) -> Assessment:
    """A judge's JSON answer, also where prose stands around it; of several objects, the last that is an assessment.

    Fields beside the asked ones are passed over, a score may be "9/10" or 7.5 (a fraction is rounded down).

    Raises:
        ValueError: there is no JSON in it, or it is no assessment; says what is wrong.
    """
    names = tuple(dimension.name for dimension in dimensions)
    begins = " ".join(text[:80].split())
    found, wrong = None, f"there is no JSON object of the asked form in the answer, which begins {begins!r}"
    for said in _objects(text):
        if not _tries(said, names):
            continue
        try:
            found = _assessment(said, names)
        except ValidationError as error:
            first = error.errors()[0]
            wrong = f"{'.'.join(map(str, first['loc'])) or 'the answer'}: {first['msg']}"
    if found is None:
        raise ValueError(wrong)
    return found


def _tries(said: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    """Whether an object is meant as an assessment: neither a part of one nor the form that was shown in the prompt."""
    fields = {_key(key): value for key, value in said.items()}
    return bool(fields.keys() & _answer(names).model_fields.keys()) and fields.get("rationale") != BLANK


def _key(said: Any) -> str:
    return str(said).strip().lower().replace(" ", "_")


def _assessment(said: Mapping[str, Any], names: tuple[str, ...]) -> Assessment:
    fields = {_key(key): value for key, value in said.items()}
    asked = _answer(names).model_fields
    fields = {key: _whole(value) for key, value in fields.items() if key in asked}
    fields["score"] = _score(fields.get("score"))
    for name in (name.replace(" ", "_") for name in names):
        if isinstance(fields.get(name), Mapping):
            fields[name] = {
                key: _whole(value) for key, value in fields[name].items() if key in ("reason", "ok")
            }
    answer = _answer(names).model_validate(fields).model_dump()
    verdicts = {name: answer[name.replace(" ", "_")] for name in names}
    return Assessment(verdicts=verdicts, **{key: answer[key] for key in RESERVED})


def _whole(said: Any) -> Any:
    """A text with a replacement character for each half of a surrogate pair, which no file can hold."""
    return (
        said.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(said, str) else said
    )


def _score(said: Any) -> Any:
    """A whole number from 0 to 10 where 7.5, "7,5", "9", "9/10" or "4 of 5" says one; anything else as it is."""
    if isinstance(said, bool):
        return str(said)  # which pydantic would take for 1 or 0
    if isinstance(said, str) and (match := SCORE.fullmatch(said)):
        number, out_of = Fraction(match[1].replace(",", ".")), Fraction(match[2] or HIGHEST)
        said = number * HIGHEST / out_of if out_of else said
    if isinstance(said, (float, Fraction)) and 0 <= said <= HIGHEST:
        return math.floor(said)
    return said


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """The JSON objects in a text, as far as one looks, and those within them."""
    decoder, text, end = json.JSONDecoder(object_pairs_hook=_once), text[-LONGEST_ANSWER:], 0
    for match in islice(re.finditer(r"\{", text), MOST_OBJECTS):
        if match.start() < end:
            continue  # within one that was read
        try:
            found, end = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        yield from _nested(found)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object, if each of its keys stands once: of two, nobody knows which is meant."""
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _nested(said: Mapping[str, Any], depth: int = 2) -> Iterator[Mapping[str, Any]]:
    """An object, and before it those that it wraps, as {"assessment": {...}}."""
    if depth:
        for value in said.values():
            if isinstance(value, Mapping):
                yield from _nested(value, depth - 1)
    yield said


def to_text(assessment: Assessment, words: int | None = None) -> str:
    """The words that a model learns to write: what is seen first, then the verdicts that follow from it.

    "large red circle top left . object : yes . count : no , one asked for , two seen . ... . score : 7 . overall : no"

    Args:
        assessment: what is said.
        words: at most, of the rationale and of each reason, for a row that holds no more; None: all of them.
    """
    said = [_plain(assessment.rationale, words)]
    for name, verdict in assessment.verdicts.items():
        reason = _plain(verdict.reason, words)
        said.append(f"{name} : {reason} , {_yes(verdict.ok)}" if reason else f"{name} : {_yes(verdict.ok)}")
    return " . ".join([*said, f"score : {assessment.score}", f"overall : {_yes(assessment.overall)}"])


OVERALL = "overall :"  # before the last verdict, whose probability is the model's own confidence


def from_text(text: str) -> Assessment:
    """Reads what a model wrote back into an assessment, whatever its dimensions are.

    Raises:
        ValueError: it is not one.
    """
    rationale, *sentences = [" ".join(part.split()) for part in text.rstrip(" .").split(".")]
    said = [SENTENCE.fullmatch(sentence) for sentence in sentences]
    names = [found[1].lower() for found in said if found]
    if None in said or len(said) < 3 or names[-2:] != ["score", "overall"] or len(set(names)) < len(names):
        raise ValueError(f"the model wrote no assessment: {text[:120]!r}")
    *middle, number, last = [(found[3].lower(), (found[2] or "").strip()) for found in said if found]
    if (
        not number[0].isdigit()
        or int(number[0]) > HIGHEST
        or {word for word, _ in [*middle, last]} - {"yes", "no"}
    ):
        raise ValueError(f"the model wrote no assessment: {text[:120]!r}")
    return Assessment(
        rationale=rationale,
        verdicts={n: Verdict(ok=w == "yes", reason=r) for n, (w, r) in zip(names, middle, strict=False)},
        score=int(number[0]),
        overall=last[0] == "yes",
    )


def _yes(ok: bool) -> str:
    return "yes" if ok else "no"


def longest(assessment: Assessment) -> int:
    """Words of the longest rationale or reason in an assessment."""
    texts = [assessment.rationale, *(verdict.reason for verdict in assessment.verdicts.values())]
    return max(len(_plain(text, None).split()) for text in texts)


def _plain(text: str, words: int | None) -> str:
    """One line whose full stops cannot be taken for the ends of verdicts, of so many words at most."""
    return " ".join(text.replace(".", " ").replace(":", " ").split()[:words])
