"""Reads a chat model's answer: its text without thoughts, and the assessment in that text.

Servers put the text into different fields and between different marks, and models put prose around JSON.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from typing import Any

from pydantic import ValidationError

from judges.assessment import (
    DIMENSIONS,
    MAX_SCORE,
    PLACEHOLDER,
    RESERVED,
    Assessment,
    Dimension,
    answer_model,
)

# Marks around thoughts: of DeepSeek, Qwen and most others, Magistral, Seed, and gpt-oss's channels.
TAG = r"(?:think|thinking|thought|reasoning|reflection|seed:think)>"
THOUGHT_ENDS = re.compile(rf"</{TAG}|\[/THINK\]|<\|channel\|>final<\|message\|>", re.IGNORECASE)
THOUGHT_BEGINS = re.compile(rf"<{TAG}|\[THINK\]|<\|channel\|>analysis<\|message\|>", re.IGNORECASE)
CUT = (
    "length",
    "max_tokens",
)  # finish reasons at the limit: of OpenAI, and of proxies of Anthropic and Google
MAX_LENGTH, MAX_OBJECTS = 100_000, 20  # characters of an answer that are searched, and beginnings of objects
SCORE = re.compile(r"\s*(\d{1,3}(?:[.,]\d{1,6})?)\s*(?:(?:/|of|out of)\s*(\d{1,3}))?\s*")


class CutAnswer(ValueError):
    """An answer that ended at its limit of tokens."""


def answer_text(choice: Any) -> str:
    """The text of `choices[0]` of a chat completion, without thoughts.

    Raises:
        CutAnswer: it reached its limit of tokens.
        ValueError: it holds no text.
    """
    message = choice.message
    if str(choice.finish_reason).lower() in CUT:
        raise CutAnswer(
            f"its answer is cut at the limit of tokens (finish_reason {choice.finish_reason}): allow more, as with "
            "options: {max_completion_tokens: 8000}, or give the server a longer context"
        )
    # some servers put the whole answer into the thoughts, where its form was forced
    for name in ("content", "reasoning_content", "reasoning"):
        text = without_thoughts(_join(getattr(message, name, None)))
        if text.strip():
            return text
    if getattr(message, "tool_calls", None) or getattr(message, "function_call", None):
        raise ValueError("it calls a tool instead of answering: the server must offer it none")
    raise ValueError("its answer is empty")


def without_thoughts(text: str) -> str:
    """What follows the last end of a thought.

    Raises:
        ValueError: a thought begins and does not end.
    """
    try:
        json.loads(text)
        return text  # what looks like a mark is a word in it
    except (ValueError, RecursionError):
        ends = list(THOUGHT_ENDS.finditer(text))
    rest = text[ends[-1].end() :] if ends else text
    if THOUGHT_BEGINS.search(rest):
        raise ValueError("its answer ends within its thoughts")
    return rest


def _join(content: Any) -> str:
    """A text, or a list of parts of which some are text."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise ValueError(f"its answer is no text but {type(content).__name__}")
    texts = [
        part.get("text") if isinstance(part, Mapping) else getattr(part, "text", part) for part in content
    ]
    return "\n".join(text for text in texts if isinstance(text, str))


def parse_assessment(text: str, dimensions: Sequence[Dimension] = DIMENSIONS) -> Assessment:
    """A judge's JSON answer, also with prose around it; of several objects, the last that is an assessment.

    Fields beside those asked for are ignored; a score may be "9/10" or 7.5 (a fraction is rounded down).

    Raises:
        ValueError: there is no JSON in it, or it is no assessment; says what is wrong.
    """
    names = tuple(dimension.name for dimension in dimensions)
    fields = answer_model(names).model_fields.keys()
    begins = " ".join(text[:80].split())
    found, wrong = None, f"there is no JSON object of the asked form in the answer, which begins {begins!r}"
    for value in _objects(text):
        given = {_field(key): _replace_surrogates(inner) for key, inner in value.items()}
        given = {key: inner for key, inner in given.items() if key in fields}
        # neither an object within an assessment nor the form that was shown in the prompt
        if not given or given.get("rationale") == PLACEHOLDER:
            continue
        try:
            found = _assessment(given, names)
        except ValidationError as error:
            first = error.errors()[0]
            wrong = f"{'.'.join(map(str, first['loc'])) or 'the answer'}: {first['msg']}"
    if found is None:
        raise ValueError(wrong)
    return found


def _assessment(given: dict[str, Any], names: tuple[str, ...]) -> Assessment:
    given["score"] = _score(given.get("score"))
    for field in map(_field, names):
        if isinstance(given.get(field), Mapping):
            inner = given[field]
            given[field] = {key: _replace_surrogates(inner[key]) for key in ("reason", "ok") if key in inner}
    answer = answer_model(names).model_validate(given).model_dump()
    verdicts = {name: answer[_field(name)] for name in names}
    return Assessment(verdicts=verdicts, **{key: answer[key] for key in RESERVED})


def _field(name: Any) -> str:
    return str(name).strip().lower().replace(" ", "_")


def _replace_surrogates(value: Any) -> Any:
    """A text with a replacement character for each half of a surrogate pair, which no file can hold."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _score(value: Any) -> Any:
    """A whole number from 0 to 10 for 7.5, "7,5", "9", "9/10" or "4 of 5"; anything else as it is."""
    if isinstance(value, bool):
        return str(value)  # which pydantic would take for 1 or 0
    if isinstance(value, str) and (match := SCORE.fullmatch(value)):
        number, out_of = Fraction(match[1].replace(",", ".")), Fraction(match[2] or MAX_SCORE)
        value = number * MAX_SCORE / out_of if out_of else value
    if isinstance(value, (float, Fraction)) and 0 <= value <= MAX_SCORE:
        return math.floor(value)
    return value


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """The JSON objects in a text, and those within them, up to MAX_OBJECTS in MAX_LENGTH characters."""
    decoder, text, end = json.JSONDecoder(object_pairs_hook=_unique), text[-MAX_LENGTH:], 0
    for match in islice(re.finditer(r"\{", text), MAX_OBJECTS):
        if match.start() < end:
            continue  # within one that was read
        try:
            found, end = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        yield from _nested(found)


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are unique: of two, nobody knows which is meant."""
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _nested(value: Mapping[str, Any], depth: int = 2) -> Iterator[Mapping[str, Any]]:
    """An object, and before it those that it wraps, as {"assessment": {...}}."""
    if depth:
        for inner in value.values():
            if isinstance(inner, Mapping):
                yield from _nested(inner, depth - 1)
    yield value
