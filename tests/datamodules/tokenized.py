"""Shards, their precomputed codes, and a loader of either."""

from types import SimpleNamespace

import pytest

from datamodules import tokenize
from datamodules.document_datamodule import DocumentDataModule, SourceConfig
from tests.datamodules.conversions import exit_code
from tests.fixtures import FixedStage
from worlds.playground.shards import ShardSet, write_shards

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
