"""A stage's model is looked at in eval mode, and goes on as it was."""

import copy

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from lightning_modules.detokenizer import DetokenizerModule
from models.unified import Illume
from tests.fixtures import make_tiny_illume
from training.eval_mode import eval_mode


@pytest.fixture
def stage() -> DetokenizerModule:
    """The detokenizer's stage with an average of other weights."""
    tiny, stage = make_tiny_illume(), DetokenizerModule("nowhere")
    stage.model = Illume(tiny.encoder, tiny.tokenizer, tiny.detokenizer)
    stage.ema = AveragedModel(copy.deepcopy(tiny.detokenizer.unet))
    return stage.train()


def test_the_average_is_in_place_and_everything_is_as_before_after_it(stage):
    unet, modes = stage.model.detokenizer.unet, [module.training for module in stage.modules()]
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with pytest.raises(RuntimeError, match="in the midst"), eval_mode(stage) as model:
        assert model is stage.model and model.detokenizer.unet is stage.ema.module
        assert not any(module.training for module in model.modules()) and not torch.is_grad_enabled()
        torch.rand(3)
        raise RuntimeError("in the midst")
    assert stage.model.detokenizer.unet is unet and torch.is_grad_enabled()
    assert [module.training for module in stage.modules()] == modes and torch.equal(torch.rand(1), expected)


def test_a_model_stands_for_itself(stage):
    with eval_mode(stage.model) as model:
        assert model is stage.model and model.detokenizer.unet is not stage.ema.module
