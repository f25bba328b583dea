"""Reads a prompt back into what it asks for: the inverse of `prompts.prompt_text`."""

from collections import Counter

from worlds.playground.prompts import NUMBERS, OPENINGS, RELATION_PHRASES, PromptSpec
from worlds.playground.scene import COLOURS, MAX_OBJECTS, SHAPES

ARTICLES = {"a": 1, "an": 1, **{word: number for number, word in enumerate(NUMBERS) if number}}
PLURALS = {f"{shape}{'es' if shape == 'cross' else 's'}": shape for shape in SHAPES}
PHRASES = sorted(  # the longest first: "to the left of" holds "left of"
    ((phrase, where) for where, phrases in RELATION_PHRASES.items() for phrase in set(phrases)),
    key=lambda pair: -len(pair[0]),
)
Kind = tuple[int, str | None, str]


def parse_prompt(text: str) -> PromptSpec:
    """What a prompt of the playground asks for.

    Raises:
        ValueError: it is no such prompt.
    """
    words = " ".join(text.lower().replace(",", " , ").split())
    opening = max((o for o in OPENINGS if words.startswith(o)), key=len)
    words = words[len(opening) :]
    for phrase, where in PHRASES:
        first, found, second = words.partition(f" {phrase} ")
        if found:
            return PromptSpec("position", (_kind(first, text), _kind(second, text)), where)
    wanted: Counter[tuple[str | None, str]] = Counter()
    for part in words.replace(" and ", " , ").split(" , "):
        count, colour, shape = _kind(part, text)
        wanted[colour, shape] += count
    if sum(wanted.values()) > MAX_OBJECTS:
        raise ValueError(
            f"{text!r} asks for more than {MAX_OBJECTS} objects: no scene of the playground has them"
        )
    return PromptSpec("mixed", tuple((count, colour, shape) for (colour, shape), count in wanted.items()))


def _kind(words: str, text: str) -> Kind:
    """A counted noun, as "two red circles", as (2, "red", "circle")."""
    article, *rest = words.split() or [""]
    colour = rest.pop(0) if len(rest) == 2 else None
    noun = rest[0] if len(rest) == 1 else ""
    shape = PLURALS.get(noun, noun)
    if article not in ARTICLES or shape not in SHAPES or (colour is not None and colour not in COLOURS):
        raise ValueError(f"{text!r} is no prompt of the playground: cannot make out {words!r}")
    return ARTICLES[article], colour, shape
