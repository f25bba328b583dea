"""Steps of one shape draw what growing ones do, wait for nothing, and on a GPU are captured."""

from dataclasses import replace

import pytest
import torch

from models.document import edit_document
from models.generation import SamplingConfig
from models.language.cuda_graph_decoder import WARM_UP, CudaGraphDecoder, repeat
from models.language.drawing import draw_codes
from models.language.prefill import Prefill
from tests.models.language.trunks import FAMILIES, Waits, prepare, with_trunk

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
    steps, step = [], CudaGraphDecoder.step
    monkeypatch.setattr(CudaGraphDecoder, "step", lambda self, x: steps.append(1) or step(self, x))
    arguments = (*prepare(illume), [1, 2, 3, 4])
    growing = draw_codes(*arguments, **SETTINGS[settings])
    assert not steps
    fixed = draw_codes(*arguments, **SETTINGS[settings], cuda_graph=True)
    assert torch.equal(fixed, growing) and len(steps) == 35


@pytest.mark.parametrize("family", ["grouped", "biased", "qwen3"])
def test_every_family_draws_the_same_with_fixed_shapes(illume, family):
    arguments = (*prepare(with_trunk(illume, FAMILIES[family])), [1, 2, 3, 4], SamplingConfig(2.0))
    assert torch.equal(draw_codes(*arguments, cuda_graph=True), draw_codes(*arguments))


def test_images_in_the_prompt_are_seen(illume, images):
    texts = ["make it red", "a red circle and a blue square", "red"]
    documents = [edit_document(image, text) for image, text in zip(images[:3], texts, strict=True)]
    prompts, sampling = illume.encode_prompts(documents), SamplingConfig(1.5)
    growing = draw_codes(illume.language, prompts, prompts, [1, 2, 3], sampling)
    fixed = draw_codes(illume.language, prompts, prompts, [1, 2, 3], sampling, cuda_graph=True)
    assert torch.equal(fixed, growing)
    blind = [replace(own, features=[0 * own.features[0]]) for own in prompts]
    fixed = draw_codes(illume.language, blind, prompts, [1, 2, 3], sampling, cuda_graph=True)
    assert not torch.equal(fixed, growing)


def test_hidden_states_equal_those_of_growing_steps(illume):
    language, segments, _ = prepare(illume)
    with torch.no_grad():
        prefill = Prefill(language, segments)
        growing, fixed = (prefill.decoder(9, cuda_graph=cuda_graph) for cuda_graph in (False, True))
        for position in range(8):
            embedded = language.embed_codes(torch.tensor([position, 3, 5, 7]), position)
            assert torch.allclose(growing.step(embedded), fixed.step(embedded), atol=2e-5)
    assert int(fixed.written) == 8
    assert all(
        not own[:, :, fixed.filled + 8 :].any() for own in (*fixed.keys, *fixed.values)
    )  # masked, times nothing


def test_no_step_asks_the_host(illume):
    settings, waited = [replace(own, top_p=0.9) for own in BY_ROW], []
    for tokens in (4, 36):
        illume.language.draw_tokens = tokens
        with Waits() as waits:
            draw_codes(*prepare(illume), [1, 2, 3, 4], settings, cuda_graph=True)
        waited.append(waits.count)
    assert waited[0] == waited[1]


@pytest.mark.parametrize("captured", [False, True])
def test_eager_steps_are_repeated(captured):
    for times in (1, WARM_UP) if captured else (1, WARM_UP, 10):
        taken = torch.zeros(1)
        repeat(lambda taken=taken: taken.add_(1), times, captured)
        assert taken == times


@pytest.mark.gpu
def test_a_captured_step_draws_what_growing_steps_draw(illume):
    arguments = (*prepare(illume.cuda()), [1, 2, 3, 4], SamplingConfig(2.0))
    assert torch.equal(draw_codes(*arguments), draw_codes(*arguments, cuda_graph=False))
