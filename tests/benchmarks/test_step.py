"""The benchmark of a training step."""

import json

import pytest

from benchmarks import step
from benchmarks.harness import run
from benchmarks.language_models import SMALL


def test_a_training_step_counts_its_products(capsys):
    run(
        step.measure,
        arguments=["--rounds", "1", "--tokens", "64", "--documents", "2", "--checkpointing", "--json"],
    )
    found = json.loads(capsys.readouterr().out)
    width, layers, mlp_width = SMALL
    products = layers * (4 * width * width + 3 * width * mlp_width)
    rows = (
        found["parameters"] - products
    )  # embeddings, adapter and norms beside the head, which alone multiplies
    assert 6 * 64 * products < found["tflop"] * 1e12 < 6 * 64 * (products + rows)
    assert 0 < found["share_of_matrix_rate"] < 1.5 and found["loss"] < 12
    with pytest.raises(SystemExit) as stop:
        run(step.measure, arguments=["--tokens", "64", "--documents", "65"])
    assert stop.value.code == 2 and "--documents is between 1 and --tokens" in capsys.readouterr().err
