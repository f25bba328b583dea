"""The playground through GenEval's own rules gives the playground's own verdicts, on scenes that are right and wrong."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from evals.geneval.benchmark import Scorer
from evals.geneval.exact_judge import RULES, VOCABULARY, ExactJudge, metadata_of, playground_prompts
from evals.geneval.metadata import Prompt, parse_prompt
from evals.geneval.rules import Rules
from worlds.playground.judge import UNKNOWN, read, satisfies
from worlds.playground.prompts import Prompt as PlaygroundPrompt
from worlds.playground.prompts import PromptSpec, evaluation_prompts
from worlds.playground.render import render
from worlds.playground.sampler import scene_for
from worlds.playground.scene import CATEGORIES, Scene, SceneObject

Pair = tuple[PlaygroundPrompt, Prompt]
JUDGE = ExactJudge()


def pairs(per_category: int) -> list[Pair]:
    prompts = evaluation_prompts(per_category, 5)
    return list(zip(prompts, playground_prompts(per_category, 5), strict=True))


def pictures(
    prompt: PlaygroundPrompt, rng: np.random.Generator, others: list[PlaygroundPrompt]
) -> list[np.ndarray]:
    """Images for a prompt: right, of another prompt of its kind, one object less, one more, stained, moved."""
    scene = scene_for(rng, prompt.spec)
    same = [p for p in others if p.spec.category == prompt.spec.category]
    fewer = Scene(scene.objects[1:], 1)
    more = scene_for(rng, PromptSpec("mixed", (*prompt.spec.objects, (1, None, "star"))))
    turned = replace(scene, objects=tuple(replace(o, x=o.y, y=o.x) for o in scene.objects))
    recoloured = replace(scene, objects=(replace(scene.objects[0], colour="cyan"), *scene.objects[1:]))
    scenes = [scene, scene_for(rng, same[int(rng.integers(len(same)))].spec), fewer, more, turned, recoloured]
    images = [render(one) for one in scenes]
    stained = images[0].copy()
    stained[20:26, 1:7] = (250, 0, 250)
    return [*images, stained]


def judged(image: np.ndarray, prompt: Prompt, rules: Rules = RULES) -> bool:
    return Scorer(JUDGE, JUDGE, rules).score(Image.fromarray(image), prompt)["correct"]


def test_both_ways_of_judging_agree_on_right_and_wrong() -> None:
    rng, tally = np.random.default_rng(0), Counter()
    every = pairs(12)
    others = [ours for ours, _ in every]
    for ours, theirs in every:
        for image in pictures(ours, rng, others):
            direct = satisfies(read(image[None])[0], ours.spec).ok
            assert judged(image, theirs) == direct, (ours.text, read(image[None])[0])
            tally[ours.spec.category, direct] += 1
    assert min(tally[category, ok] for category in CATEGORIES for ok in (True, False)) >= 10, tally


def two(x: float, y: float) -> np.ndarray:
    """A red circle in the upper left corner and a blue square so far from it."""
    first = SceneObject("circle", "red", 8, 8, 6.5)
    return render(Scene((first, SceneObject("square", "blue", 8 + x, 8 + y, 6.5)), 3))


@pytest.mark.parametrize("x", [0, 10, 16, 21, 24, 32])
def test_places_agree_wherever_the_two_stand(x: float) -> None:
    for y in (16, 21, 24, 32):
        for relation in ("left of", "above"):
            spec = PromptSpec("position", ((1, None, "circle"), (1, None, "square")), relation)
            prompt = parse_prompt({"prompt": "any", **metadata_of(spec)}, "here", VOCABULARY)
            for image in (two(x, y), two(y, x)):
                assert judged(image, prompt) == satisfies(read(image[None])[0], spec).ok, (x, y, relation)


def test_by_genevals_own_measure_a_diagonal_would_be_right() -> None:
    spec = PromptSpec("position", ((1, None, "circle"), (1, None, "square")), "above")
    prompt = parse_prompt({"prompt": "any", **metadata_of(spec)}, "here", VOCABULARY)
    image = two(24, 24)
    assert judged(image, prompt, Rules()) and not judged(image, prompt)


@pytest.mark.parametrize(
    ("objects", "shown", "right"),
    [
        (((1, "red", "circle"), (1, "blue", "circle")), ("red", "blue"), True),
        (((1, "red", "circle"), (1, "blue", "circle")), ("red", "red"), False),
        (((1, "red", "circle"), (1, "blue", "circle")), ("red",), False),
        (((1, "red", "circle"), (1, "blue", "circle")), ("red", "blue", "green"), False),
        (((1, "red", "circle"), (2, None, "circle")), ("blue", "red", "green"), True),
        (((1, "red", "circle"), (2, None, "circle")), ("red", "red", "green"), False),
        (((1, None, "circle"), (1, None, "circle")), ("red", "green"), True),
    ],
)
def test_one_shape_that_is_asked_for_in_several_ways(
    objects: tuple, shown: tuple[str, ...], right: bool
) -> None:
    spec = PromptSpec("color_attr", objects)
    places = ((8, 8), (40, 8), (8, 40))
    things = [SceneObject("circle", c, x, y, 6.5) for c, (x, y) in zip(shown, places, strict=False)]
    image = render(Scene(tuple(things), 1))
    prompt = parse_prompt({"prompt": "any", **metadata_of(spec)}, "here", VOCABULARY)
    assert satisfies(read(image[None])[0], spec).ok == judged(image, prompt) == right


def test_the_metadata_are_genevals() -> None:
    said = metadata_of(PromptSpec("position", ((1, None, "ring"), (1, None, "star")), "above"))
    assert said["include"] == [
        {"class": "star", "count": 1},
        {"class": "ring", "count": 1, "position": ["above", 0]},
    ]
    said = metadata_of(PromptSpec("counting", ((3, "red", "star"),)))
    assert said["include"] == [{"class": "star", "count": 3, "color": "red"}]
    assert {"class": "star", "count": 4} in said["exclude"] and {"class": UNKNOWN, "count": 1} in said[
        "exclude"
    ]
    with pytest.raises(ValueError, match="described alike"):
        metadata_of(PromptSpec("position", ((1, None, "ring"), (1, None, "ring")), "above"))


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="48 pixels a side, not 64 x 32"):
        JUDGE.detect(Image.new("RGB", (64, 32)))
