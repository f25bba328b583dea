"""A fused trunk computes what the whole one does, and only trunks that compute nothing else are fused."""

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel

from models.generation import SamplingConfig
from models.language.drawing import draw_codes
from models.language.fused_decoder import FusedDecoder, can_fuse
from models.language.prefill import Prefill
from tests.models.conftest import TRUNK
from tests.models.language.trunks import FAMILIES, prepare, with_trunk


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("copied", [True, False])
def test_codes_equal_those_of_the_whole_trunk(illume, family, copied, monkeypatch):
    illume = with_trunk(illume, FAMILIES[family])
    assert can_fuse(illume.language.trunk)
    monkeypatch.setattr("models.language.fused_decoder.MAX_COPIED", 2**28 if copied else 0)
    steps = []
    step = FusedDecoder.step
    monkeypatch.setattr(FusedDecoder, "step", lambda self, x: steps.append(step(self, x)) or steps[-1])
    fused = draw_codes(*prepare(illume), [1, 2, 3, 4], SamplingConfig(2.0))
    count = len(steps)
    steps.clear()
    plain = draw_codes(*prepare(illume), [1, 2, 3, 4], SamplingConfig(2.0), fused=False)
    assert torch.equal(fused, plain) and count == 35 and not steps and len(fused.unique()) > 15


def test_hidden_states_are_those_of_the_whole_trunk(illume):
    illume = with_trunk(illume, FAMILIES["qwen3"])
    language, segments, _ = prepare(illume)
    with torch.no_grad():
        whole, fused = Prefill(language, segments), Prefill(language, segments).decoder(12)
        assert isinstance(fused, FusedDecoder)
        for position in range(12):
            embedded = language.embed_codes(torch.tensor([position, 3, 5, 7]), position)
            assert torch.allclose(whole.step(embedded), fused.step(embedded), atol=2e-5)


class Adapted(nn.Linear):
    """Not what it seems, as peft's layers are."""


def test_trunks_that_compute_more_are_not_fused():
    def trunk(**changes):
        settings = {k: v for k, v in (TRUNK | changes).items() if k != "model_type"}
        kind = changes.get("model_type", "llama")
        return AutoModel.from_config(AutoConfig.for_model(kind, vocab_size=8, **settings))

    assert can_fuse(trunk())
    assert not can_fuse(trunk(hidden_act="gelu"))
    assert not can_fuse(trunk(model_type="mistral", sliding_window=8))
    assert not can_fuse(
        trunk(model_type="qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=1)
    )
    assert not can_fuse(trunk(model_type="phi3", pad_token_id=0))
    assert not can_fuse(trunk(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}))
    adapted = trunk()
    adapted.layers[1].mlp.down_proj = Adapted(64, 32, bias=False)
    assert not can_fuse(adapted)


def test_a_trunk_that_is_not_fused_draws_as_well(illume):
    illume = with_trunk(illume, TRUNK | {"hidden_act": "gelu"})
    fused, plain = (
        draw_codes(*prepare(illume), [1, 2, 3, 4], SamplingConfig(2.0), fused=fused)
        for fused in (True, False)
    )
    assert torch.equal(fused, plain)
