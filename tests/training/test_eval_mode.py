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


def test_the_average_is_drawn_with_and_random_numbers_are_as_before(stage):
    unet, modes = stage.model.detokenizer.unet, [module.training for module in stage.modules()]
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with eval_mode(stage) as model:
        assert model is stage.model and model.detokenizer.unet is stage.ema.module
        assert not any(module.training for module in model.modules()) and not torch.is_grad_enabled()
        torch.rand(3)
    assert stage.model.detokenizer.unet is unet and torch.equal(torch.rand(1), expected)
    assert [module.training for module in stage.modules()] == modes


def test_an_error_leaves_the_stage_as_it_was(stage):
    unet, modes = stage.model.detokenizer.unet, [module.training for module in stage.modules()]
    with pytest.raises(RuntimeError, match="while drawing"), eval_mode(stage):
        raise RuntimeError("while drawing")
    assert stage.model.detokenizer.unet is unet and torch.is_grad_enabled()
    assert [module.training for module in stage.modules()] == modes


def test_a_model_stands_for_itself(stage):
    with eval_mode(stage.model) as model:
        assert model is stage.model and model.detokenizer.unet is not stage.ema.module
