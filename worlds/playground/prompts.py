"""Prompts that ask for a scene: what they demand (`PromptSpec`), written in English and parsed back.

Words are lower case and stand between spaces, commas too, so that a vocabulary of whole words is small.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from worlds.playground.combinations import OPPOSITE, all_combinations, held_out_combinations
from worlds.playground.scene import CATEGORIES, COLOURS, MAX_OBJECTS, SHAPES, Scene, relation

T = TypeVar("T")
ONE_OBJECT = ("single_object", "colors")
COLOURED = ("colors", "counting", "color_attr", "mixed")  # categories whose prompts name colours
NUMBERS = ("zero", "one", "two", "three", "four")
OPENINGS = ("", "", "", "a photo of ", "a picture of ", "an image of ", "draw ")
RELATION_PHRASES = {
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "above": ("above", "above", "over"),
    "below": ("below", "below", "under"),
}
ARTICLES = {"a": 1, "an": 1, **{word: number for number, word in enumerate(NUMBERS) if number}}
PLURALS = {f"{shape}{'es' if shape == 'cross' else 's'}": shape for shape in SHAPES}
PHRASES = sorted(  # the longest first: "to the left of" holds "left of"
    ((phrase, where) for where, phrases in RELATION_PHRASES.items() for phrase in set(phrases)),
    key=lambda pair: -len(pair[0]),
)


@dataclass(frozen=True)
class PromptSpec:
    """What an image must show: `objects` are (count, colour or None for any, shape).

    `relation`, one of scene.RELATIONS, is where the first object is as seen from the second.
    """

    category: str
    objects: tuple[tuple[int, str | None, str], ...]
    relation: str | None = None


@dataclass(frozen=True)
class Prompt:
    """A prompt's text and what an image must show to satisfy it."""

    text: str
    spec: PromptSpec


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]


def spec_of(scene: Scene, category: str, colours: bool | None = None) -> PromptSpec:
    """The prompt of a category that the scene satisfies; `colours`: does it name them (None: as usual)."""
    coloured = category in COLOURED if colours is None else colours
    counts = Counter((item.colour if coloured else None, item.shape) for item in scene.objects)
    objects = tuple((count, colour, shape) for (colour, shape), count in counts.items())
    where = relation(*scene.objects) if category == "position" else None
    return PromptSpec(category, objects, where)


def spec_of_combination(key: tuple) -> PromptSpec:
    """The prompt that asks for one combination, and for nothing that the combination leaves open."""
    category = key[0]
    if category == "single_object":
        return PromptSpec(category, ((1, key[2], key[1]),))
    if category == "colors":
        return PromptSpec(category, ((1, key[1], key[2]),))
    if category == "counting":
        return PromptSpec(category, (key[1:],))
    if category == "position":
        return PromptSpec(category, ((1, None, key[1]), (1, None, key[3])), key[2])
    if category == "two_object":
        return PromptSpec(category, tuple((1, None, shape) for shape in key[1:]))
    return PromptSpec(category, tuple((1, colour, shape) for colour, shape in key[1:]))


def noun(count: int, colour: str | None, shape: str, article: str = "a") -> str:
    """A counted noun: "a red circle", "an orange star", "two crosses"."""
    words = f"{colour} {shape}" if colour else shape
    if count > 1:
        return f"{NUMBERS[count]} {words}{'es' if shape == 'cross' else 's'}"
    return f"{'an' if article == 'a' and words[0] in 'aeiou' else article} {words}"


def enumerate_nouns(nouns: Iterable[str]) -> str:
    """Joins nouns: "a star , a ring and a cross"."""
    *others, last = nouns
    return f"{' , '.join(others)} and {last}" if others else last


def prompt_text(spec: PromptSpec, rng: np.random.Generator) -> str:
    """The prompt in English, varied: order, opening, and for a relation which object comes first."""
    opening = pick(rng, OPENINGS)
    article = "one" if spec.category == "counting" else "a"
    nouns = [noun(*item, article=article) for item in spec.objects]
    turned = rng.random() < 0.5
    if spec.relation is None:
        rng.shuffle(nouns)
        return opening + enumerate_nouns(nouns)
    first, second = reversed(nouns) if turned else nouns
    phrase = pick(rng, RELATION_PHRASES[OPPOSITE[spec.relation] if turned else spec.relation])
    return f"{opening}{first} {phrase} {second}"


def _evaluation_specs(category: str) -> list[PromptSpec]:
    if category == "single_object":  # as in GenEval, the colour is left open
        return [PromptSpec(category, ((1, None, shape),)) for shape in SHAPES]
    keys = all_combinations(category) if category in ONE_OBJECT else sorted(held_out_combinations(category))
    return [spec_of_combination(key) for key in keys if category != "counting" or key[1] > 1]


def evaluation_prompts(per_category: int, seed: int = 0) -> list[Prompt]:
    """Prompts for GenEval on the playground, `per_category` of each category, on held-out combinations.

    Only prompts of one object are not held out. Combinations are taken in turn, each as often as any other;
    texts repeat only where the wordings of a category have run out.
    """
    rng = np.random.default_rng([seed, 7])
    prompts: list[Prompt] = []
    for category in CATEGORIES:
        specs = _evaluation_specs(category)
        rng.shuffle(specs)
        used: set[str] = set()
        for i in range(per_category):
            spec = specs[i % len(specs)]
            wordings = [prompt_text(spec, rng) for _ in range(20)]
            text = next((wording for wording in wordings if wording not in used), wordings[0])
            used.add(text)
            prompts.append(Prompt(text, spec))
    return prompts


def parse_prompt(text: str) -> PromptSpec:
    """What a prompt of the playground asks for; raises ValueError if it is no such prompt."""
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
        raise ValueError(f"{text!r} asks for over {MAX_OBJECTS} objects: no playground scene has them")
    return PromptSpec("mixed", tuple((count, colour, shape) for (colour, shape), count in wanted.items()))


def _kind(words: str, text: str) -> tuple[int, str | None, str]:
    """A counted noun, as "two red circles", as (2, "red", "circle")."""
    article, *rest = words.split() or [""]
    colour = rest.pop(0) if len(rest) == 2 else None
    noun = rest[0] if len(rest) == 1 else ""
    shape = PLURALS.get(noun, noun)
    if article not in ARTICLES or shape not in SHAPES or (colour is not None and colour not in COLOURS):
        raise ValueError(f"{text!r} is no prompt of the playground: cannot make out {words!r}")
    return ARTICLES[article], colour, shape
