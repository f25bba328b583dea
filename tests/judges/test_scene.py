"""The playground's exact judge as an assessor."""

import re

import numpy as np
import pytest

from judges.assessment import from_text, to_text
from judges.judge import Unjudged
from judges.pixels import render_scenes, to_numpy
from judges.scene import SceneJudge, assess_reading
from tests.judges.scenes import scenes
from worlds.playground.judge import Reading, SeenObject, read, satisfies
from worlds.playground.prompts import evaluation_prompts, parse_prompt, spec_of
from worlds.playground.questions import questions
from worlds.playground.sampler import scene_for
from worlds.playground.scene import CATEGORIES, COLOURS, SHAPES


def test_verdicts_agree_with_the_playgrounds_judge():
    prompts = evaluation_prompts(30, 1)
    rng = np.random.default_rng(3)
    own = [scene_for(rng, p.spec) for p in prompts]
    others = scenes(len(prompts))
    both = 0
    for drawn in (own, others, own[1:] + own[:1]):
        for reading, prompt in zip(read(to_numpy(render_scenes(drawn))), prompts, strict=True):
            found, truth = assess_reading(reading, prompt.spec), satisfies(reading, prompt.spec).ok
            assert found.overall == truth == all(v.ok for v in found.verdicts.values()), (prompt.text, found)
            assert (found.score == 10) == truth and all(v.ok or v.reason for v in found.verdicts.values())
            assert from_text(to_text(found)) == found
            both |= 1 << truth
    assert both == 3


@pytest.mark.parametrize(
    ("prompt", "wrong"),
    [
        ("a red circle", []),
        ("a blue circle", ["colour"]),
        ("two red circles", ["count"]),
        ("a star", ["object"]),
        ("a circle and a star", ["object"]),
    ],
)
def test_the_wrong_dimensions_of_an_image_are_found(prompt, wrong):
    rng = np.random.default_rng(0)
    spec = next(p.spec for p in evaluation_prompts(60) if p.spec.objects == ((1, "red", "circle"),))
    (found,) = SceneJudge().assess([prompt], render_scenes([scene_for(rng, spec)]))
    assert [name for name, verdict in found.verdicts.items() if not verdict.ok] == wrong
    assert "red circle" in found.rationale


def test_more_than_the_playground_counts():
    seen = Reading(tuple(SeenObject("star", "red", 8.0 * i, 8.0, 6.0, 1.0) for i in range(6)))
    found = assess_reading(seen, parse_prompt("two stars"))
    assert found.verdicts["count"].reason == "are there exactly two stars ? no" and not found.overall
    found = assess_reading(seen, parse_prompt("a star"))
    assert found.verdicts["count"].reason == "how many stars are there ? more than four" and not found.overall


@pytest.mark.parametrize(
    ("prompt", "reasons"),
    [
        (
            "a circle",
            [
                "is there a circle ? yes , what else is there ? a star",
                "how many circles are there ? three",
                "",
                "",
            ],
        ),
        (
            "two red circles and a ring",
            [
                "is there a circle ? yes , is there a ring ? no , what else is there ? a star",
                "are there exactly two circles ? no",
                "is there a red circle ? yes",
                "",
            ],
        ),
    ],
)
def test_reasons_are_questions_with_answers(prompt, reasons):
    seen = [("circle", "red", 8.0), ("circle", "blue", 24.0), ("circle", "red", 40.0), ("star", "red", 24.0)]
    reading = Reading(tuple(SeenObject(shape, colour, x, 8.0, 6.0, 1.0) for shape, colour, x in seen))
    found = assess_reading(reading, parse_prompt(prompt))
    assert [verdict.reason for verdict in found.verdicts.values()] == reasons


def test_questions_are_those_of_the_training_data():
    """Nothing but "what else is there ?" is asked for the first time."""
    rng = np.random.default_rng(0)
    forms = {form_of(q.text) for scene in scenes(500) for q in questions(scene, rng, 10)}
    asked = set()
    for i, scene in enumerate(scenes(300, 1)):
        category = (*CATEGORIES, "mixed")[i % 7]
        (reading,) = read(to_numpy(render_scenes([scene])))
        said = assess_reading(reading, spec_of(scene, category)).verdicts.values()
        asked |= {
            form_of(part.rpartition("?")[0] + "?") for v in said for part in v.reason.split(" , ") if part
        }
    assert len(asked) > 10 and asked - forms == {"what else is there ?"}


def form_of(question):
    """A question without the shapes and colours that it names."""
    words = re.sub("|".join(COLOURS), "colour", question)
    return re.sub("|".join(SHAPES), "shape", words.replace("crosses", "crosss"))


def test_a_text_that_is_no_prompt_is_unjudged():
    image = render_scenes(scenes(1))
    (found,) = SceneJudge().assess(["a photo of {caption}"], image)
    assert isinstance(found, Unjudged) and "no prompt of the playground" in found.reason
