"""A target token counts the same in whatever micro-batch and on whatever rank it comes."""

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from lightning_modules.component_configs import LoRAConfig
from lightning_modules.language import LanguageModule
from models.document import describe_document, draw_document
from models.sequence import collate
from tests.fixtures import tiny_illume

__all__ = ["tiny_illume"]
RATES = {"trunk": 0.1, "text": 0.1, "vision": 0.1, "adapter": 0.1}


class Module(LanguageModule):
    """With a model that is there already, and plain SGD, so that weights differ as gradients do."""

    def __init__(self, model):
        super().__init__(RATES, {})
        self.model = model

    def configure_model(self):
        """Is done."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.model.language.parameters(), lr=0.1)


class OfRank(torch.utils.data.Dataset):
    """Micro-batches of which each rank takes every n-th."""

    def __init__(self, batches, ranks):
        self.batches, self.ranks = batches, ranks

    def __len__(self):
        return len(self.batches) // self.ranks

    def __getitem__(self, index):
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        return self.batches[index * self.ranks + rank]


def batches(model, images):
    """Eight micro-batches of very unequal numbers of target tokens."""
    made = []
    for i in range(8):
        documents = [describe_document(images[0], "red " * (1 + 3 * i))]
        documents += [draw_document("a red circle", images[1])] * (i % 3)
        segments = [model.sequencer.segment(document) for document in documents]
        made.append(collate(segments, [[k] for k in range(len(segments))], 128, 0))
    return made


@pytest.mark.parametrize(("ranks", "accumulate"), [(1, 4), (2, 2), (4, 1)])
def test_a_window_is_one_mean(ranks, accumulate, tiny_illume, tmp_path):
    images = torch.randint(
        0, 256, (2, 3, 48, 48), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    before = {name: value.clone() for name, value in tiny_illume.language.state_dict().items()}
    micro = batches(tiny_illume, images)
    trainer = L.Trainer(
        accelerator="cpu",
        devices=ranks,
        strategy="ddp_fork_find_unused_parameters_true" if ranks > 1 else "auto",
        accumulate_grad_batches=accumulate,
        max_steps=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
    )
    module = Module(tiny_illume)
    trainer.fit(module, DataLoader(OfRank(micro, ranks), batch_size=None))
    wanted = _by_hand(before, tiny_illume, micro)
    for name, value in module.model.language.state_dict().items():
        assert torch.allclose(value, wanted[name], atol=2e-5), name
    assert any(not torch.allclose(wanted[name], before[name], atol=1e-4) for name in before)


def test_the_validation_loss_is_one_mean_over_words_and_codes(tiny_illume):
    images = torch.zeros((2, 3, 48, 48), dtype=torch.uint8)
    micro = batches(tiny_illume, images)[:3]
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    (found,) = trainer.validate(
        Module(tiny_illume), DataLoader(OfRank(micro, 1), batch_size=None), verbose=False
    )
    losses = [tiny_illume.language.loss(batch, *tiny_illume.encode_images(batch)) for batch in micro]
    text, draw, *tokens = (sum(float(loss[i]) for loss in losses) for i in range(4))
    assert found["val/loss"] == pytest.approx((text + draw) / sum(tokens), rel=1e-5)
    halfway = (found["val/loss_text"] + found["val/loss_draw"]) / 2
    assert found["val/loss"] != pytest.approx(halfway, rel=2e-5), "a mean of means would pass too"


def _by_hand(before, model, micro):
    """Two steps of plain gradient descent on the mean over all tokens of four micro-batches."""
    model.language.load_state_dict(before)
    for window in (micro[:4], micro[4:]):
        model.zero_grad()
        losses = [model.language.loss(batch, *model.encode_images(batch)) for batch in window]
        tokens = sum(int(x.text_tokens + x.draw_tokens) for x in losses)
        (sum(x.text + x.draw for x in losses) / tokens).backward()
        with torch.no_grad():
            for parameter in model.language.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
    return {name: value.clone() for name, value in model.language.state_dict().items()}


def test_missing_peft_is_reported_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    module = LanguageModule({"trunk": 1e-4}, {"all": "nowhere"}, lora=LoRAConfig(r=4))
    with pytest.raises(ValueError, match=r"pip install -e '\.\[lora\]'"):
        module.configure_model()
