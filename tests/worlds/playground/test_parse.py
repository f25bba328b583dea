"""Prompts are read back into what they ask for."""

import numpy as np
import pytest

from worlds.playground.captions import caption
from worlds.playground.judge import Reading, SeenObject, satisfies
from worlds.playground.parse import parse_prompt
from worlds.playground.prompts import evaluation_prompts, spec_of
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import CATEGORIES


def demands(spec):
    """What a spec asks for, in one form: told from either side, a relation is the same."""
    objects = sorted(spec.objects, key=str) if spec.relation is None else list(spec.objects)
    return objects, spec.relation


@pytest.mark.parametrize("seed", range(3))
def test_every_evaluation_prompt_asks_for_what_it_says(seed):
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
def test_what_is_no_prompt_is_refused_with_its_words(text):
    with pytest.raises(ValueError, match="playground") as error:
        parse_prompt(text)
    assert repr(text) in str(error.value)
