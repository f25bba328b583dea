"""What is logged under several ranks is of all of them, and what one process would log of the joint batch."""

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from datamodules.image_datamodule import ImageBatch
from lightning_modules.detokenizer import DetokenizerModule
from lightning_modules.encoder import EncoderModule
from lightning_modules.pixel_tokenizer import PixelTokenizerModule
from lightning_modules.tokenizer import TokenizerModule
from models.detokenizer.pixel import PixelDecoder
from models.tokenizer.captioner import Captioner
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.pixel import PixelTokenizer
from models.unified import Illume
from tests.fixtures import make_tiny_illume
from tests.lightning_modules.test_language import Module, OfRank, batches

QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "use_distributed_sampler": False,
    "num_sanity_val_steps": 0,
}


def validated(module, rows, ranks):
    """What is logged of a validation whose batches the ranks share."""
    trainer = L.Trainer(
        accelerator="cpu", devices=ranks, strategy="ddp_fork" if ranks > 1 else "auto", **QUIET
    )
    (found,) = trainer.validate(module, DataLoader(OfRank(rows, ranks), batch_size=None), verbose=False)
    return found


def image_rows():
    """Four batches of which the ranks' are unlike each other, and of unequal sizes."""
    torch.manual_seed(0)
    made = []
    for number in range(4):
        images = torch.randint(0, 256, (2 + number, 3, 48, 48), dtype=torch.uint8)
        images = images // (1 + 7 * (number % 2))
        made.append(ImageBatch(images, torch.randint(0, 20, (len(images), 6 + 6 * (number % 2)))))
    return made


def as_configured(module):
    """The module with the networks that it was given."""
    module.is_configured = True
    return module


def tokenizer_module():
    model, module = make_tiny_illume(), TokenizerModule("nowhere")
    module.model = Illume(model.encoder, model.tokenizer)
    return as_configured(module)


def pixel_module():
    torch.manual_seed(0)
    module = PixelTokenizerModule("nowhere")
    encoder = VisionEncoder(width=32, layers=1, heads=2)
    module.model = Illume(encoder, PixelTokenizer(48, 32, 1, 2, 64, 8, 1), PixelDecoder(32, 6))
    return as_configured(module)


def encoder_module():
    torch.manual_seed(0)
    module = EncoderModule("nowhere")
    module.model, module.captioner = Illume(VisionEncoder(width=32, layers=1, heads=2)), Captioner(20, 32)
    return as_configured(module)


def detokenizer_module():
    model, module = make_tiny_illume(), DetokenizerModule("nowhere")
    module.model = Illume(model.encoder, model.tokenizer, model.detokenizer)
    return as_configured(module)


MODULES = {
    "tokenizer": tokenizer_module,
    "pixel": pixel_module,
    "encoder": encoder_module,
    "detokenizer": detokenizer_module,
}


@pytest.mark.parametrize("name", MODULES)
def test_a_validation_of_two_ranks_logs_what_one_process_does(name):
    rows = image_rows()
    alone, joint = (validated(MODULES[name](), rows, ranks) for ranks in (1, 2))
    assert alone.keys() == joint.keys()
    for key in alone:
        # the noise of the diffusion loss is by the number of the batch, which is another where there are two ranks
        rough = 0.5 if key == "val/loss_diffusion" else 1e-5
        assert joint[key] == pytest.approx(alone[key], rel=rough), key
    if name in ("tokenizer", "pixel"):
        assert {"val/codes_used", "val/perplexity"} <= alone.keys()


def test_the_training_loss_is_of_all_ranks_and_micro_batches(tmp_path):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8)
    printed = []
    for ranks, accumulate in ((1, 4), (2, 2)):
        model = make_tiny_illume()
        trainer = L.Trainer(
            accelerator="cpu", devices=ranks, max_steps=1, accumulate_grad_batches=accumulate,
            strategy="ddp_fork_find_unused_parameters_true" if ranks > 1 else "auto", **QUIET,
        )  # fmt: skip
        rows = batches(model, images)[:4]
        trainer.fit(Module(model), DataLoader(OfRank(rows, ranks), batch_size=None))
        printed.append(float(trainer.callback_metrics["train/loss"]))
    losses = [make_tiny_illume().language.loss(row, *make_tiny_illume().encode_images(row)) for row in rows]
    total, tokens = (
        sum(float(a + b) for a, b in pairs)
        for pairs in ([(x.text, x.draw) for x in losses], [(x.text_tokens, x.draw_tokens) for x in losses])
    )
    assert printed == pytest.approx([total / tokens] * 2, rel=1e-5)
