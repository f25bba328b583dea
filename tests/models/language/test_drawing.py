"""The decoding loop: guidance and noise of each row's own, whatever the batch, and no wait for the device."""

import pytest
import torch

from models.document import draw_document
from models.generation import SamplingConfig
from models.language.drawing import draw_codes
from tests.models.language.trunks import Waits, prepare

SEEDS = [5, 6, 7, 8]


def test_rows_keep_their_own_guidance(illume):
    language, segments, nulls = prepare(illume)
    scales = [SamplingConfig(cfg) for cfg in (1.0, 3.0, 1.0, 2.0)]
    together = draw_codes(language, segments, nulls, SEEDS, scales)
    for i in range(4):
        alone = draw_codes(language, segments[i : i + 1], nulls[:1], [5 + i], scales[i])
        assert torch.equal(alone[0], together[i])
    plain = draw_codes(language, segments, nulls, SEEDS)
    assert (plain != together).any(1).tolist() == [False, True, False, True]


def test_guidance_of_one_is_none(illume):
    prompts = [illume.sequencer.segment(draw_document("a red circle"))]
    nulls = [illume.sequencer.segment(draw_document(None))]
    plain, almost, strong = (
        draw_codes(illume.language, prompts, nulls, [3], SamplingConfig(cfg))
        for cfg in (1.0, 1.0 + 1e-7, 4.0)
    )
    assert torch.equal(plain, almost) and not torch.equal(plain, strong)


def test_guidance_may_change_from_token_to_token(illume):
    arguments = (*prepare(illume), SEEDS)
    steady = draw_codes(*arguments, SamplingConfig(3.0))
    assert torch.equal(draw_codes(*arguments, schedule=torch.full((4, 36), 3.0)), steady)
    late = torch.full((4, 36), 3.0)
    late[:, 20:] = 1.0
    found = draw_codes(*arguments, schedule=late)
    assert torch.equal(found[:, :20], steady[:, :20]) and not torch.equal(found, steady)


@pytest.mark.parametrize("wrong", [torch.ones(2), torch.ones(4, 35), torch.ones(3, 36)])
def test_guidance_of_another_shape_is_refused(illume, wrong):
    arguments = (*prepare(illume), SEEDS)
    with pytest.raises(ValueError, match="schedule of cfg has the shape"):
        draw_codes(*arguments, schedule=wrong)
    with pytest.raises(ValueError, match="out of range"):
        draw_codes(*arguments, schedule=torch.full((4, 36), 101.0))
    with pytest.raises(ValueError, match="2 sampling settings: give one, or one for each of 4 rows"):
        draw_codes(*arguments, [SamplingConfig()] * 2)


def test_noise_belongs_to_the_row_in_any_batch_and_order(illume):
    language, segments, nulls = prepare(illume)
    order = [3, 1, 0, 2]
    forward = draw_codes(language, segments, nulls, SEEDS, SamplingConfig(2.0))
    turned = draw_codes(
        language, [segments[i] for i in order], nulls, [SEEDS[i] for i in order], SamplingConfig(2.0)
    )
    assert torch.equal(forward[order], turned)


def test_an_image_is_the_same_alone_and_in_a_batch(illume):
    prompts = ["a red circle", "a blue square and a red circle and a blue circle", "red"]
    batch = illume.draw_batch(prompts, [5, 6, 7])
    for i in range(3):
        difference = (illume.draw_batch(prompts[i : i + 1], [5 + i])[0].int() - batch[i].int()).abs()
        assert difference.max() <= 1


def test_the_host_does_not_wait_inside_the_loop(illume, monkeypatch):
    settings = [
        SamplingConfig(1.0, 0.0, 0, 0.9),
        SamplingConfig(2.0, 1.0, 4, 0.9),
        SamplingConfig(3.0, 0.5, 0, 0.9),
        SamplingConfig(1.0, 1.0, 2, 0.9),
    ]
    waited = []
    for tokens in (4, 36):
        monkeypatch.setattr(illume.language, "draw_tokens", tokens)
        with Waits() as waits:
            draw_codes(*prepare(illume), [1, 2, 3, 4], settings)
        waited.append(waits.count)
    assert waited[0] == waited[1]
