"""Steps of one shape draw what growing ones do, wait for nothing, and on a GPU are captured."""

from dataclasses import replace

import pytest
import torch

from models.document import edit_document
from models.generation import SamplingConfig
from models.language import fused_decoder as bare_trunk
from models.language.cuda_graph_decoder import WARM, CudaGraphDecoder, repeat
from models.language.prefill import Prefill
from models.language.drawing import draw_codes
from models.language.fused_decoder import FusedDecoder
from tests.models.language.test_drawing import FAMILIES, Waits, prepared, with_trunk

BY_ROW = [
    SamplingConfig(1.0, 0.0),
    SamplingConfig(3.0, 1.0, 4),
    SamplingConfig(1.0, 0.5),
    SamplingConfig(2.0, 1.0, 2),
]
SETTINGS = {
    "guided": {"sampling": SamplingConfig(2.0)},
    "by row": {"sampling": BY_ROW},
    "alone": {"sampling": SamplingConfig(top_p=0.9)},
    "schedule": {"schedule": torch.linspace(1, 3, 4 * 36).view(4, 36)},
}


@pytest.mark.parametrize("settings", SETTINGS)
def test_it_draws_what_growing_steps_draw(illume, settings, monkeypatch):
    taken = []
    step = CudaGraphDecoder.step
    monkeypatch.setattr(CudaGraphDecoder, "step", lambda self, x: taken.append(1) or step(self, x))
    arguments = (*prepared(illume), [1, 2, 3, 4])
    growing = draw_codes(*arguments, **SETTINGS[settings])
    assert not taken
    assert torch.equal(draw_codes(*arguments, **SETTINGS[settings], fixed=True), growing) and len(taken) == 35


@pytest.mark.parametrize("family", ["grouped", "biased", "qwen3"])
def test_every_kind_of_trunk_does(illume, family):
    arguments = (*prepared(with_trunk(illume, FAMILIES[family])), [1, 2, 3, 4], SamplingConfig(2.0))
    assert torch.equal(draw_codes(*arguments, fixed=True), draw_codes(*arguments))


def test_images_in_the_prompt_are_seen(illume, images):
    words = ["make it red", "a red circle and a blue square", "red"]
    segments = [illume.segment(edit_document(im, w)) for im, w in zip(images[:3], words, strict=True)]
    features = illume.seen(segments)
    arguments = (illume.language, segments, segments, features, features, [1, 2, 3])
    growing = draw_codes(*arguments, SamplingConfig(1.5))
    assert torch.equal(draw_codes(*arguments, SamplingConfig(1.5), fixed=True), growing)
    blind = draw_codes(
        illume.language,
        segments,
        segments,
        0 * features,
        features,
        [1, 2, 3],
        SamplingConfig(1.5),
        fixed=True,
    )
    assert not torch.equal(blind, growing)


def test_hidden_states_agree_whatever_lay_in_memory(illume, monkeypatch):
    make_room = bare_trunk._with_room

    def littered(cached, room):
        buffer = make_room(cached, room)
        buffer[:, :, cached.shape[2] :] = torch.nan
        return buffer

    monkeypatch.setattr(bare_trunk, "_with_room", littered)
    language, segments, *_ = prepared(illume)
    with torch.no_grad():
        begun = Prefill(language, segments, torch.zeros(0, 36, 32))
        growing, fixed = (begun.bare_trunk(kind, 8) for kind in (FusedDecoder, CudaGraphDecoder))
        for place in range(8):
            embedded = language.embed_codes(torch.tensor([place, 3, 5, 7]), place)
            assert torch.allclose(growing.step(embedded), fixed.step(embedded), atol=2e-5)
    assert int(fixed.at) == 8


def test_no_step_asks_the_host(illume):
    waited = []
    for tokens in (4, 36):
        illume.language.draw_tokens = tokens
        with Waits() as waits:
            draw_codes(
                *prepared(illume), [1, 2, 3, 4], [replace(own, top_p=0.9) for own in BY_ROW], fixed=True
            )
        waited.append(waits.count)
    assert waited[0] == waited[1]


def test_where_there_is_no_graph_a_step_is_taken_as_often():
    for times in (1, WARM, 10):
        taken = torch.zeros(1)
        repeat(lambda taken=taken: taken.add_(1), times, torch.device("cpu"))
        assert taken == times


@pytest.mark.gpu
def test_a_captured_step_draws_what_growing_steps_draw(illume):
    illume = illume.cuda()
    language, segments, nulls, *nothing = prepared(illume)
    arguments = (language, segments, nulls, *(x.cuda() for x in nothing), [1, 2, 3, 4], SamplingConfig(2.0))
    assert torch.equal(draw_codes(*arguments), draw_codes(*arguments, fixed=False))
