"""Questions about a scene with one-word answers, four kinds: yes_no, count, colour, position.

The answer to a yes/no question is drawn before the question, so that the text alone reveals nothing; a "no" changes
a single attribute of what is there, often to one that another object has.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from worlds.playground.captions import refer_to
from worlds.playground.prompts import NUMBERS, RELATION_PHRASES, noun, pick
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import CATEGORIES, COLOURS, RELATIONS, SHAPES, Scene, SceneObject, relation

T = TypeVar("T")
ANSWERS = {
    "yes_no": ("yes", "no"),
    "count": NUMBERS[1:],
    "colour": tuple(COLOURS),
    "position": ("left", "right", "above", "below"),
}
KINDS = tuple(ANSWERS)
# Shares of the kinds in training: comparing (yes or no, where) takes longer to learn than naming.
KIND_SHARES = {"yes_no": 0.35, "count": 0.12, "colour": 0.13, "position": 0.4}


@dataclass(frozen=True)
class Question:
    """A question's text, its one-word answer, and its kind, one of KINDS."""

    text: str
    answer: str
    kind: str


def _other(rng: np.random.Generator, true: T, near: Sequence[T], options: Sequence[T]) -> T:
    """A wrong value: half the time one that is near at hand (another object's), else any."""
    close = [value for value in near if value != true]
    if close and rng.random() < 0.5:
        return pick(rng, close)
    return pick(rng, [value for value in options if value != true])


def _presence(scene: Scene, rng: np.random.Generator, yes: bool) -> str | None:
    item = pick(rng, scene.objects)
    colour, shape = item.colour, item.shape
    if not yes and rng.random() < 0.5:
        colour = _other(rng, colour, [o.colour for o in scene.objects], tuple(COLOURS))
    elif not yes:
        shape = _other(rng, shape, [o.shape for o in scene.objects], SHAPES)
    if any((o.colour, o.shape) == (colour, shape) for o in scene.objects) != yes:
        return None
    return f"is there {noun(1, colour, shape)} ?"


def _shape_presence(scene: Scene, rng: np.random.Generator, yes: bool) -> str | None:
    shown = {item.shape for item in scene.objects}
    return f"is there {noun(1, None, pick(rng, [s for s in SHAPES if (s in shown) == yes]))} ?"


def _group(scene: Scene, rng: np.random.Generator) -> tuple[int, str | None, str]:
    """The objects like one of them, in shape or in shape and colour: (how many, colour or None, shape)."""
    item = pick(rng, scene.objects)
    alike = [other for other in scene.objects if other.shape == item.shape]
    if rng.random() < 0.5:
        return len(alike), None, item.shape
    return sum(other.colour == item.colour for other in alike), item.colour, item.shape


def _exact_count(scene: Scene, rng: np.random.Generator, yes: bool) -> str | None:
    count, colour, shape = _group(scene, rng)
    if count == 1:  # most groups are of one: with them, "exactly one" would be a "yes" without looking
        return None
    asked = count if yes else pick(rng, [n for n in (2, 3, 4) if n != count])
    return f"are there exactly {noun(asked, colour, shape)} ?"


def _is_coloured(scene: Scene, rng: np.random.Generator, yes: bool) -> str | None:
    item = pick(rng, scene.objects)
    if sum(other.shape == item.shape for other in scene.objects) > 1:
        return None
    near = [other.colour for other in scene.objects]
    colour = item.colour if yes else _other(rng, item.colour, near, tuple(COLOURS))
    return f"is the {item.shape} {colour} ?"


def _related(scene: Scene, rng: np.random.Generator) -> tuple[str, str, str] | None:
    """Words for two different objects and the relation of the first to the second."""
    if len(scene.objects) < 2:
        return None
    a, b = (scene.objects[int(i)] for i in rng.permutation(len(scene.objects))[:2])
    where, first, second = relation(a, b), refer_to(a, scene, rng), refer_to(b, scene, rng)
    return (first, where, second) if where and first and second else None


def _is_related(scene: Scene, rng: np.random.Generator, yes: bool) -> str | None:
    found = _related(scene, rng)
    if found is None:
        return None
    first, where, second = found
    asked = where if yes else pick(rng, [other for other in RELATIONS if other != where])
    return f"is {first} {pick(rng, RELATION_PHRASES[asked])} {second} ?"


YES_NO_FORMS: tuple[Callable[[Scene, np.random.Generator, bool], str | None], ...] = (
    _presence,
    _presence,
    _shape_presence,
    _exact_count,
    _is_coloured,
    _is_related,
    _is_related,
)


def _count(scene: Scene, rng: np.random.Generator) -> tuple[str, int]:
    form = rng.random()
    if form < 0.15:
        return "objects", len(scene.objects)
    if form < 0.3:
        colour = pick(rng, scene.objects).colour
        return f"{colour} objects", sum(item.colour == colour for item in scene.objects)
    count, colour, shape = _group(scene, rng)
    return noun(2, colour, shape).removeprefix("two "), count


def _colour(scene: Scene, rng: np.random.Generator) -> tuple[str, str] | None:
    item = pick(rng, scene.objects)
    alike: list[SceneObject] = [other for other in scene.objects if other.shape == item.shape]
    if len({other.colour for other in alike}) > 1:
        return None
    words = noun(len(alike), None, item.shape).split(" ", 1)[1]
    if rng.random() < 0.3:
        return f"what is the colour of the {words} ?", item.colour
    return f"what colour {'are' if len(alike) > 1 else 'is'} the {words} ?", item.colour


def ask(scene: Scene, rng: np.random.Generator, kind: str, yes: bool) -> Question | None:
    """A question of a kind about the scene (`yes`: the answer to a yes/no question); None: try again."""
    if kind == "yes_no":
        text = pick(rng, YES_NO_FORMS)(scene, rng, yes)
        return Question(text, "yes" if yes else "no", kind) if text else None
    if kind == "count":
        words, count = _count(scene, rng)
        return Question(f"how many {words} are there ?", NUMBERS[count], kind)
    if kind == "colour":
        found = _colour(scene, rng)
        return Question(*found, kind) if found else None
    related = _related(scene, rng)
    if related is None:
        return None
    first, where, second = related
    text = pick(rng, (f"where is {first} , seen from {second} ?", f"on which side of {second} is {first} ?"))
    return Question(text, where.removesuffix(" of"), kind)


def questions(scene: Scene, rng: np.random.Generator, n: int) -> list[Question]:
    """`n` questions of the kinds that the scene allows, as often "yes" as "no", repeated only if need be."""
    asked: list[Question] = []
    while len(asked) < n:
        kind, yes = str(rng.choice(KINDS, p=list(KIND_SHARES.values()))), bool(rng.random() < 0.5)
        tries = [ask(scene, rng, kind, yes) for _ in range(4)]
        found = [question for question in tries if question is not None]
        if not found:
            continue
        if kind == "count":  # most groups are of one: an answer is chosen first, among those that came up
            answer = pick(rng, sorted({question.answer for question in found}))
            found = [question for question in found if question.answer == answer]
        # a repeated question is kept rather than traded: "yes" has fewer wordings than "no"
        asked.append(next((question for question in found if question not in asked), found[0]))
    return asked


def evaluation_questions(n: int, seed: int = 0) -> list[tuple[Scene, Question]]:
    """`n` questions, each about its own held-out scene: kinds in turn, within a kind its answers in turn."""
    rng = np.random.default_rng([seed, 8])
    chosen: list[tuple[Scene, Question]] = []
    while len(chosen) < n:
        kind = KINDS[len(chosen) % len(KINDS)]
        answers = ANSWERS[kind]
        wanted = answers[len(chosen) // len(KINDS) % len(answers)]
        question = None
        while question is None or question.answer != wanted:
            scene = sample_scene(rng, pick(rng, CATEGORIES), held_out=True)
            question = ask(scene, rng, kind, wanted == "yes")
        chosen.append((scene, question))
    return chosen
