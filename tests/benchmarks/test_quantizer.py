"""The benchmark of quantizers; its peer is an extra, which `make test` installs beside the environment."""

import sys

import pytest
import torch

from benchmarks import quantizer
from benchmarks.harness import run


def test_a_missing_peer_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "vector_quantize_pytorch", None)
    with pytest.raises(SystemExit) as stop:
        run(quantizer.measure, arguments=["--rounds", "1"])
    assert stop.value.code == 2 and "'.[bench]'" in capsys.readouterr().err


@pytest.mark.parametrize("kind", quantizer.KINDS)
def test_quantizers_of_both_sides_take_the_same_step(kind):
    pytest.importorskip("vector_quantize_pytorch", reason="the extra bench is not installed")
    pair = quantizer.pair(kind, 64, 8)
    vectors = torch.randn(100, 8)
    found = quantizer.differences(*(quantizer.step(side, vectors) for side in pair))
    assert found["equal_codes"] == 1.0 and max(v for k, v in found.items() if k != "equal_codes") < 1e-5
    before = quantizer.train(pair[0], quantizer.clusters(8, 512), 0)["error"]
    assert quantizer.train(pair[0].train(), quantizer.clusters(8, 512), 40)["error"] < before
