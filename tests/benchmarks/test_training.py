"""The benchmark of training; its peer is an extra, which `make test` installs beside the environment."""

import pytest
import torch

from benchmarks import training
from benchmarks.packing import pack


def test_stage_3_is_trained_without_images_at_its_full_lengths():
    tasks = training.text_mix()["tasks"]
    assert max(task["words"][1] for task in tasks) > 2560 and not any(task["seen"] for task in tasks)


def test_both_sides_train_on_the_same_documents_with_the_same_loss(monkeypatch):
    pytest.importorskip("accelerate", reason="the extra bench is not installed")
    for name, size in (("WIDTH", 64), ("LAYERS", 1), ("MLP_WIDTH", 32)):
        monkeypatch.setattr(training, name, size)
    mix = {"sequence_length": 128, "tasks": [{"share": 1.0, "words": [10, 60], "seen": 0}]}
    found = training.compare(mix, 2, 1)
    assert found["our_loss"] == pytest.approx(found["their_loss"], rel=1e-5) and found["speedup"] > 0
    padded = training.pad([segment for row in next(pack(mix, 2, 1)) for segment in row])
    assert torch.equal(padded["labels"] != training.IGNORED, padded["attention_mask"] == 1)
