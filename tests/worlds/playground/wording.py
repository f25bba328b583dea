"""An independent reading of prompts."""

import re

from worlds.playground.scene import COLOURS, SHAPES

NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4}


SIDES = {
    "left": "left of",
    "right": "right of",
    "over": "above",
    "above": "above",
    "under": "below",
    "below": "below",
}


def read_prompt(text: str) -> tuple[list[tuple[int, str | None, str]], str | None]:
    """An independent reading of a prompt: its counted nouns in order, and its relation."""
    colours, shapes = "|".join(COLOURS), "|".join(SHAPES)
    nouns = re.findall(rf"\b({'|'.join(NUMBERS)}) (?:({colours}) )?({shapes})(?:e?s)?\b", text)
    side = next((SIDES[word] for word in text.split() if word in SIDES), None)
    return [(NUMBERS[number], colour or None, shape) for number, colour, shape in nouns], side
