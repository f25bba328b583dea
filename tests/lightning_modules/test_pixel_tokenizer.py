"""The stage `pixel_tokenizer`: the encoder's sizes, the semantic stage's measures, a folder to start from."""

import pytest
import torch
from lightning.pytorch import Trainer

from datamodules.image_datamodule import ImageBatch
from lightning_modules.component_configs import TokenizerConfig
from lightning_modules.pixel_tokenizer import PixelTokenizerModule
from models.tokenizer.encoder import VisionEncoder
from models.unified import Illume


@pytest.fixture
def trained(tmp_path) -> tuple[PixelTokenizerModule, Trainer, Illume]:
    """The module after three steps, its trainer, and the model folder that it started from."""
    torch.manual_seed(0)
    start = Illume(encoder=VisionEncoder(width=32, layers=1, heads=2)).eval()
    start.save_pretrained(str(tmp_path / "encoder"))
    module = PixelTokenizerModule(
        str(tmp_path / "encoder"), TokenizerConfig(codes=64, decoder_layers=1), warmup_steps=1
    )
    images = torch.randint(0, 256, (8, 3, 48, 48), dtype=torch.uint8)
    batches = [ImageBatch(part, torch.empty(4, 0)) for part in images.split(4)] * 2
    loader = torch.utils.data.DataLoader(batches, batch_size=None)
    trainer = Trainer(
        accelerator="cpu", max_steps=3, default_root_dir=tmp_path, logger=False, log_every_n_steps=1,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, val_check_interval=3,
    )  # fmt: skip
    trainer.fit(module, loader, loader)
    return module, trainer, start


def test_it_learns_all_of_itself_and_leaves_the_encoder_of_what_is_seen(trained):
    module, trainer, start = trained
    assert {"train/loss", "train/loss_pixel", "val/loss_pixel", "val/codes_used", "val/perplexity"} <= set(
        trainer.callback_metrics
    )
    assert trainer.callback_metrics["train/loss"] > 10 * trainer.callback_metrics["train/loss_pixel"] > 0
    before = start.encoder.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in module.model.encoder.state_dict().items())
    learning = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}
    own = [*module.model.tokenizer.parameters(), *module.model.detokenizer.parameters()]
    assert learning == {id(p) for p in own}
    assert len(module.model.tokenizer.encoder.blocks) == len(module.model.encoder.blocks)
    assert module.counts.sum() == 16 * 36, "codes are counted over the validation set"


def test_its_folder_holds_what_later_stages_start_from(trained, tmp_path):
    module, _, _ = trained
    module.export(str(tmp_path / "model"))
    model = Illume.from_pretrained(str(tmp_path / "model"), ("encoder", "tokenizer", "detokenizer"))
    images = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8)
    module.eval()
    assert torch.equal(model.encode(images), module.model.tokenizer.encode(images))
    assert torch.equal(model.features(images), module.model.encoder(images))
    assert model.decode(model.encode(images), [0, 0]).shape == images.shape
