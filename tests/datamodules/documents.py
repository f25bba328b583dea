"""Datamodules of documents on the playground's shards, for tests."""

from types import SimpleNamespace

import pytest

from datamodules.document_datamodule import DocumentDataModule, SourceConfig
from tests.fixtures import FixedStage
from worlds.playground.shards import ShardSet, write_shards


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    train = {"pairs": 120, "questions": 60, "edits": 32}
    sets = [ShardSet(name, "train", samples, 0) for name, samples in train.items()]
    list(write_shards([*sets, ShardSet("pairs", "val", 40, 0)], folder, workers=1))
    return folder


@pytest.fixture
def module(data, tiny_illume):
    def make(workers=0, sources=None, sequence_length=600, **options):
        configs = sources or {
            "draw": {"shards": str(data / "pairs"), "template": "draw", "weight": 0.5},
            "questions": {"shards": str(data / "questions"), "template": "document", "weight": 0.3},
            "edits": {"shards": str(data / "edits"), "template": "edit", "weight": 0.2},
        }
        made = DocumentDataModule(
            {name: SourceConfig(**config) for name, config in configs.items()},
            sequences_per_batch=3,
            batches_per_epoch=5,
            sequence_length=sequence_length,
            look_ahead=16,
            workers=workers,
            **options,
        )
        made.trainer = SimpleNamespace(lightning_module=FixedStage(tiny_illume))
        made.setup()
        return made

    return make
