"""The model as the judge of its own drawings."""

import pytest
import torch

from judges.assessment import Assessment, to_text
from judges.ensemble import EnsembleJudge
from judges.judge import Unjudged
from judges.pixels import render_scenes
from judges.scene import SceneJudge
from judges.self_judge import SelfJudge
from tests.judges.scenes import scenes


def test_the_models_text_is_read_as_an_assessment(tiny_illume, monkeypatch):
    judge, images = SelfJudge(), render_scenes(scenes(3))
    with pytest.raises(ValueError, match="set_model"):
        judge.assess(["x"], images[:1])
    judge.set_model(tiny_illume)
    prompts = ["a red circle", "a star", "a ring"]
    assert all(isinstance(found, Unjudged) for found in judge.assess(prompts, images))  # it never learned to
    right = to_text(SceneJudge().assess(["a red circle"], images[:1])[0])
    monkeypatch.setattr(tiny_illume, "assess_batch", lambda images, prompts: ["nonsense", right, right])
    (none, chance), (one, second), _ = judge.assess_with_confidence(prompts, images)
    assert isinstance(none, Unjudged) and chance == 0 and isinstance(one, Assessment) and 0 < second < 1


def test_confidence_is_the_probability_of_the_next_word(tiny_illume):
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


def test_an_assessment_of_other_dimensions_is_unjudged(monkeypatch):
    class Writer:
        def assess_batch(self, images, prompts):
            return ["a . object : yes . score : 9 . overall : yes"] * len(prompts)

    own = SelfJudge()
    own.set_model(Writer())
    image = torch.zeros(1, 3, 48, 48, dtype=torch.uint8)
    (opinion,) = own.assess(["a circle"], image)
    assert isinstance(opinion, Unjudged) and "other dimensions: object" in opinion.reason
    (both,) = EnsembleJudge([own, SceneJudge()]).assess(["a circle"], image)
    assert isinstance(both, Unjudged)
