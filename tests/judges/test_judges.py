"""The exact judge as an assessor, the model itself, and several judges together."""

import re

import numpy as np
import pytest
import torch

from judges.assessment import DIMENSIONS, Assessment, Verdict, from_text, to_text
from judges.ensemble import EnsembleJudge
from judges.judge import Judge, Unjudged
from judges.pixels import to_numpy, render_scenes
from judges.scene import SceneJudge, assess_reading
from judges.self_judge import SelfJudge
from worlds.playground.judge import Reading, SeenObject, read, satisfies
from worlds.playground.parse import parse_prompt
from worlds.playground.prompts import evaluation_prompts, spec_of
from worlds.playground.questions import questions
from worlds.playground.sampler import sample_scene, scene_for
from worlds.playground.scene import CATEGORIES, COLOURS, SHAPES


def scenes(count, seed=0):
    rng = np.random.default_rng(seed)
    return [sample_scene(rng, (*CATEGORIES, "mixed")[i % 7]) for i in range(count)]


def test_its_verdicts_agree_with_the_exact_one():
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
def test_it_says_in_which_respect_an_image_is_wrong(prompt, wrong):
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
def test_its_reasons_are_questions_with_answers(prompt, reasons):
    seen = [("circle", "red", 8.0), ("circle", "blue", 24.0), ("circle", "red", 40.0), ("star", "red", 24.0)]
    reading = Reading(tuple(SeenObject(shape, colour, x, 8.0, 6.0, 1.0) for shape, colour, x in seen))
    found = assess_reading(reading, parse_prompt(prompt))
    assert [verdict.reason for verdict in found.verdicts.values()] == reasons


def test_its_questions_are_those_that_a_model_learns_to_answer():
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


def test_the_model_judges_in_its_own_words(tiny_illume, monkeypatch):
    judge, images = SelfJudge(), render_scenes(scenes(3))
    with pytest.raises(ValueError, match="set_model"):
        judge.assess(["x"], images[:1])
    judge.set_model(tiny_illume)
    prompts = ["a red circle", "a star", "a ring"]
    assert all(isinstance(found, Unjudged) for found in judge.assess(prompts, images))  # it never learned to
    right = to_text(SceneJudge().assess(["a red circle"], images[:1])[0])
    monkeypatch.setattr(tiny_illume, "assess", lambda images, prompts: ["nonsense", right, right])
    (none, chance), (one, second), _ = judge.assess_with_confidence(prompts, images)
    assert isinstance(none, Unjudged) and chance == 0 and isinstance(one, Assessment) and 0 < second < 1


def test_confidence_is_that_of_the_next_word(tiny_illume):
    """Against the logits that training would see at that place."""
    from models.document import See, Text
    from models.sequence import collate

    image = render_scenes(scenes(1))
    begun = "a circle . overall :"
    (found,) = tiny_illume.confidence(image, ["a circle"], [begun])
    segment = tiny_illume.sequencer.segment(
        [See(image[0]), Text("does the image show : a circle ?"), Text(f"{begun} yes", learn=True)]
    )
    batch = collate([segment], [[0]], len(segment), 0)
    alike = sum(a == b for a, b in zip(*map(tiny_illume.sequencer.encode_text, ("yes", "no")), strict=False))
    place = len(segment) - 1 - len(tiny_illume.sequencer.encode_text("yes")) + alike - 1
    yes, no = (tiny_illume.sequencer.encode_text(word)[alike] for word in ("yes", "no"))
    with torch.no_grad():
        features, _ = tiny_illume.encode_images(batch)
        hidden = tiny_illume.language.hidden(batch, batch.ids, features)
        logits = tiny_illume.language.logits(hidden[0, place])
    assert found == pytest.approx(float(logits[[yes, no]].softmax(-1)[0]), abs=1e-4)


class Fixed(Judge):
    def __init__(self, *says):
        super().__init__()
        self.says, self.name = says, f"fixed{says}"

    def assess(self, prompts, images):
        return [Unjudged("no idea") if ok is None else opinion(ok) for ok in self.says]


def opinion(ok):
    verdicts = {d.name: Verdict(ok=ok, reason="" if ok else "wrong") for d in DIMENSIONS}
    return Assessment(rationale=f"seen {ok}", verdicts=verdicts, score=10 * ok, overall=ok)


def test_an_ensemble_goes_by_majority():
    judges = [Fixed(True, True, None, True), Fixed(True, False, None, False), Fixed(False, False, True, None)]
    first, second, third, tie = EnsembleJudge(judges).assess(
        ["x"] * 4, torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    )
    assert first.overall and first.score == 7 and first.rationale == "seen True"
    assert not second.overall and second.verdicts["count"] == Verdict(ok=False, reason="wrong")
    assert isinstance(third, Unjudged) and not tie.overall
    with pytest.raises(ValueError, match="same dimensions"):
        EnsembleJudge([Fixed(True), SelfJudge([{"name": "style", "question": "?"}])])


def test_own_words_of_other_dimensions_are_no_opinion(monkeypatch):
    class Writer:
        def assess(self, images, prompts):
            return ["a . object : yes . score : 9 . overall : yes"] * len(prompts)

    own = SelfJudge()
    own.set_model(Writer())
    image = torch.zeros(1, 3, 48, 48, dtype=torch.uint8)
    (opinion,) = own.assess(["a circle"], image)
    assert isinstance(opinion, Unjudged) and "other dimensions: object" in opinion.reason
    (both,) = EnsembleJudge([own, SceneJudge()]).assess(["a circle"], image)
    assert isinstance(both, Unjudged)
