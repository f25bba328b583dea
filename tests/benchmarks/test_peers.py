"""Benchmarks whose peers are an extra (`make test` puts them beside the environment) compare equals."""

import pytest
import torch

from benchmarks import quantizer, training

pytest.importorskip("vector_quantize_pytorch", reason="the extra bench is not installed")
pytest.importorskip("accelerate", reason="the extra bench is not installed")


@pytest.mark.parametrize("kind", quantizer.KINDS)
def test_quantizers_of_both_sides_take_the_same_step(kind):
    pair = quantizer.pair(kind, 64, 8)
    vectors = torch.randn(100, 8)
    found = quantizer.agreement(*(quantizer.step(side, vectors) for side in pair))
    assert found["equal_codes"] == 1.0 and max(v for k, v in found.items() if k != "equal_codes") < 1e-5
    before = quantizer.learned(pair[0], quantizer.clusters(8, 512), 0)["error"]
    assert quantizer.learned(pair[0].train(), quantizer.clusters(8, 512), 40)["error"] < before


def test_training_of_both_sides_is_on_the_same_documents_and_loses_the_same(monkeypatch):
    for name, size in (("WIDTH", 64), ("LAYERS", 1), ("BETWEEN", 32)):
        monkeypatch.setattr(training, name, size)
    tasks = [{"share": 1.0, "words": [10, 60], "seen": 0}]
    found = training.measure({"sequence_length": 128, "tasks": tasks}, 2, 2, 1)
    assert found["our_loss"] == pytest.approx(found["their_loss"], rel=1e-5) and found["speedup"] > 0
    padded = training.padded([segment for row in next(training.Rows(
        {"sequence_length": 128, "tasks": tasks}, 2, 1).segments()) for segment in row])  # fmt: skip
    assert torch.equal(padded["labels"] != training.IGNORED, padded["attention_mask"] == 1)
