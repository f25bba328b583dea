"""Precomputed codes and features: those of training, and refused once they are stale."""

from types import SimpleNamespace

import pytest
import torch

from datamodules import tokenize
from datamodules.document_datamodule import DocumentDataModule, SourceConfig
from datamodules.precomputed import StaleCodes
from tests.datamodules.conversions import exit_code
from tests.fixtures import FixedStage, tiny_illume
from worlds.playground.shards import ShardSet, write_shards

__all__ = ["tiny_illume"]
TRAIN = {"pairs": 60, "edits": 16, "stories": 4}


@pytest.fixture
def world(tmp_path, tiny_illume):
    sets = [ShardSet(name, "train", samples, 0) for name, samples in TRAIN.items()]
    list(write_shards(sets, tmp_path / "data", workers=1))
    tiny_illume.save_pretrained(str(tmp_path / "model"))
    return tmp_path


def run(world, name, *options):
    folder, out = world / "data" / name, world / "codes" / name
    return exit_code(tokenize.main, folder, "--model", world / "model", "--out", out, *options)


def loader(world, root, model, workers=0):
    sources = {
        "draw": SourceConfig(str(world / root / "pairs"), "draw", 0.4),
        "reconstruct": SourceConfig(str(world / root / "pairs"), "reconstruct", 0.2),
        "edits": SourceConfig(str(world / root / "edits"), "edit", 0.2),
        "stories": SourceConfig(str(world / root / "stories"), "document", 0.2),
    }
    module = DocumentDataModule(
        sources,
        sequences_per_batch=4,
        batches_per_epoch=6,
        workers=workers,
        drop=0.3,
    )
    stamps = {"codes": model.fingerprint("encoder", "tokenizer"), "features": model.fingerprint("encoder")}
    module.trainer = SimpleNamespace(lightning_module=FixedStage(model, stamps))
    module.setup()
    return module.train_dataloader()


@pytest.mark.parametrize("workers", [0, 2])
def test_stale_codes_stop_the_run(world, tiny_illume, workers):
    for name in ("pairs", "edits", "stories"):
        run(world, name)
    with torch.no_grad():
        tiny_illume.tokenizer.codebook.add_(0.1)
    with pytest.raises(StaleCodes, match="codes of another model .* compute them again with"):
        list(loader(world, "codes", tiny_illume, workers))
