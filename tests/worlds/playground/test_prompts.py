"""Prompts say what their spec demands; those of the evaluation are held out; words are few."""

import re
from collections import Counter

import numpy as np
import pytest

from tests.worlds.playground.wording import read_prompt
from worlds.playground.captions import caption, dense_caption
from worlds.playground.combinations import all_combinations, held_out_combinations
from worlds.playground.edits import sample_edit
from worlds.playground.judge import Reading, SeenObject, satisfies
from worlds.playground.prompts import (
    ONE_OBJECT,
    PromptSpec,
    evaluation_prompts,
    parse_prompt,
    prompt_text,
    spec_of,
    spec_of_combination,
)
from worlds.playground.questions import questions
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import CATEGORIES
from worlds.playground.stories import sample_story


@pytest.mark.parametrize("category", CATEGORIES)
def test_text_demands_what_the_spec_does(category: str) -> None:
    rng = np.random.default_rng(0)
    opposite = {"left of": "right of", "above": "below"}
    for key in all_combinations(category)[::3]:
        spec = spec_of_combination(key)
        nouns, side = read_prompt(prompt_text(spec, rng))
        assert Counter(nouns) == Counter(spec.objects)
        if spec.relation:
            assert side == (spec.relation if tuple(nouns) == spec.objects else opposite[spec.relation])


def test_articles_and_plurals() -> None:
    def says(*objects: tuple[int, str | None, str]) -> str:
        texts = {prompt_text(PromptSpec("mixed", objects), np.random.default_rng(i)) for i in range(20)}
        return min(texts, key=len)

    assert says((1, "orange", "cross")) == "an orange cross"
    assert says((3, "red", "cross")) == "three red crosses"
    assert says((2, None, "star")) == "two stars"


def test_evaluation_prompts_are_held_out_and_the_same_for_a_seed() -> None:
    prompts = evaluation_prompts(50, seed=0)
    assert prompts == evaluation_prompts(50, seed=0) != evaluation_prompts(50, seed=1)
    assert Counter(prompt.spec.category for prompt in prompts) == dict.fromkeys(CATEGORIES, 50)
    held_out = {c: {spec_of_combination(key) for key in held_out_combinations(c)} for c in CATEGORIES}
    for prompt in prompts:
        if prompt.spec.category not in ONE_OBJECT:
            assert prompt.spec in held_out[prompt.spec.category]
        if prompt.spec.category == "counting":
            ((count, colour, _),) = prompt.spec.objects
            assert 2 <= count <= 4 and colour


def test_evaluation_prompts_use_all_held_out_combinations_and_sides_evenly() -> None:
    prompts = [prompt for prompt in evaluation_prompts(200, seed=0) if prompt.spec.category == "position"]
    uses = Counter(prompt.spec for prompt in prompts)
    assert len(uses) == len(held_out_combinations("position"))
    assert max(uses.values()) - min(uses.values()) <= 1
    assert len({read_prompt(prompt.text)[1] for prompt in prompts}) == 4


def test_prompts_use_few_lower_case_words() -> None:
    rng = np.random.default_rng(0)
    texts: list[str] = [prompt.text for prompt in evaluation_prompts(50)]
    for _ in range(600):
        scene = sample_scene(rng, "mixed")
        texts += [caption(scene, rng), dense_caption(scene), sample_edit(rng).instruction]
        texts += [f"{question.text} {question.answer}" for question in questions(scene, rng, 4)]
        texts += [text for text, _ in sample_story(rng)]
    words = {word for text in texts for word in text.split(" ")}
    assert all(re.fullmatch(r"[a-z]+|[?.,]", word) for word in words), sorted(words)
    assert len(words) <= 120, len(words)


def demands(spec):
    """What a spec asks for, in one form: stated from either side, a relation is the same."""
    objects = sorted(spec.objects, key=str) if spec.relation is None else list(spec.objects)
    return objects, spec.relation


@pytest.mark.parametrize("seed", range(3))
def test_parsing_inverts_every_evaluation_prompt(seed):
    for prompt in evaluation_prompts(40, seed):
        found = parse_prompt(prompt.text)
        if prompt.spec.relation is not None and found.relation != prompt.spec.relation:
            turned = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
            found = type(found)(found.category, found.objects[::-1], turned[found.relation])
        assert demands(found) == demands(prompt.spec), prompt.text


def test_a_scene_satisfies_its_own_captions():
    rng = np.random.default_rng(0)
    for i in range(600):
        category = (*CATEGORIES, "mixed")[i % 7]
        scene = sample_scene(rng, category)
        seen = Reading(tuple(SeenObject(o.shape, o.colour, o.x, o.y, o.radius, 1.0) for o in scene.objects))
        text = caption(scene, rng, category)
        assert satisfies(seen, parse_prompt(text)).ok, text
        assert satisfies(seen, spec_of(scene, category)).ok


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a dog",
        "circle",
        "a very red circle",
        "{caption}",
        "<|begin|> a circle",
        "four stars and two rings",
    ],
)
def test_other_texts_are_refused_with_their_words(text):
    with pytest.raises(ValueError, match="playground") as error:
        parse_prompt(text)
    assert repr(text) in str(error.value)
