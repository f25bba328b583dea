import pytest

from self_enhancement import dialogues, round
from worlds.playground import shards


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    shards.main(["--out", str(folder), "--scale", "0.002", "--workers", "1", "--only", "pairs"])
    return str(folder / "pairs")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(round, "BATCH", 8)
    monkeypatch.setattr(dialogues, "SHARD_SAMPLES", 16)
