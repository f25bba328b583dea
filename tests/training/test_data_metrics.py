"""What a run skips of its data is logged and recorded, and too much of it stops the run."""

import json
from pathlib import Path

import pytest
import yaml

import train
from evals.reports.curves import read_metrics
from tests.chain import arguments, world
from tests.datamodules.tars import write_samples

__all__ = ["world"]


def test_skipped_samples_are_recorded_and_too_many_stop_the_run(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    good = {
        f"{i}": {"json": json.dumps({"parts": [{"text": f"number {i}", "learn": True}]}).encode()}
        for i in range(40)
    }
    broken = {"x": {"json": b"{"}, "y": {"json": b"[]"}, "z": {"txt": b"no document"}}
    write_samples(world / "torn/0.tar", good | broken)
    source = {"shards": "torn", "template": "document", "weight": 1.0}
    Path("torn.yaml").write_text(yaml.safe_dump({"data": {"init_args": {"sources": {"text": source}}}}))
    given = [*arguments("language", 12), "--config", "torn.yaml", "--name"]
    run = train.main([*given, "torn", "--data.init_args.max_skipped_fraction=0.5"])
    record = json.loads((run.folder / "skipped.json").read_text())
    assert record["skipped"] == 3 and {row["reason"]: row["samples"] for row in record["reasons"]} == {
        "a json cannot be read": 1,
        "a json is of another shape": 1,
        "a sample has no json": 1,
    }
    assert read_metrics(run.folder / "metrics.csv")["data/skipped"][-1][1] == 3
    with pytest.raises(SystemExit) as stop:
        train.main([*given, "stopped", "--data.init_args.max_skipped_fraction=0.001"])
    line = [text for text in capsys.readouterr().err.splitlines() if "error" in text][-1]
    assert stop.value.code == 2 and "samples were skipped" in line and "max_skipped_fraction 0.1%" in line
    assert json.loads((world / "runs/stopped/skipped.json").read_text())["skipped"] == 3
