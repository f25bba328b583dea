"""The demo's chain with stages that take no time: order, timing, interruption, report."""

import json
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import demo
from evals.settings import PlaygroundSettings

RUNS = Path("runs/playground")
METRICS = {"geneval/overall": 0.7, "seed": 0, "seconds": 3.0}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty current folder; what the chain calls is noted, and leaves the folders of a real run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACEBACK", raising=False)
    noted: list[str] = []

    def make_data(argv: list[str]) -> None:
        noted.append(" ".join(argv))
        Path(argv[1]).mkdir(parents=True, exist_ok=True)

    def train_main(argv: list[str]) -> SimpleNamespace:
        config = Path(argv[1])
        stage, runs = config.stem, Path("runs") / config.parent.name
        noted.append(stage if runs == RUNS else f"{runs.name} {stage}")
        (runs / stage / "model").mkdir(parents=True, exist_ok=True)
        (runs / stage / "model" / "config.json").write_text(stage)
        time.sleep(0.01)
        return SimpleNamespace(finished=True)

    def suite(model: Path, settings: PlaygroundSettings, images: Path) -> dict:
        noted.append(f"evals {settings.per_category} x {settings.seeds}")
        return dict(METRICS)

    def module(name: str, **content: object) -> None:
        monkeypatch.setitem(sys.modules, name, fake := ModuleType(name))
        vars(fake).update(content)

    module("train", main=train_main)
    module("evals.playground.suite", playground_suite=suite, VERSION="1")
    module("models.unified", Illume=SimpleNamespace(from_pretrained=lambda folder: folder))
    monkeypatch.setattr("worlds.playground.shards.main", make_data)
    return noted


def test_chain_report_and_second_run(calls: list[str], capsys: pytest.CaptureFixture) -> None:
    demo.main([])
    assert calls == ["--out runs/playground/data --scale 0.6", *demo.STAGES, "evals 50 x 4"]
    report = json.loads((RUNS / "report.json").read_text())
    assert report["geneval/overall"] == 0.7 and report["scale"] == "demo" and report["cpus"] >= 1
    parts = [report[f"seconds/{name}"] for name in ("data", *demo.STAGES, "evals")]
    assert report["seconds"] == pytest.approx(sum(parts), abs=1.0) and report["memory_gib"] > 0
    assert not any(isinstance(value, (dict, list)) for value in report.values())
    assert "0.70" in (RUNS / "report.html").read_text()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:-1]] == ["data", *demo.STAGES, "evals"]
    assert lines[-1].endswith("report.html")

    seconds = json.loads((RUNS / "timings.json").read_text())["seconds"]
    calls.clear()
    demo.main([])
    assert calls[1:] == [*demo.STAGES]  # each skips itself; scores of the same model are kept
    assert json.loads((RUNS / "timings.json").read_text())["seconds"] == seconds

    (RUNS / "stage3" / "model" / "config.json").unlink()
    sys.modules["train"].main = lambda argv: SimpleNamespace(finished=True)
    calls.clear()
    demo.main([])
    assert calls[1:] == ["evals 50 x 4"]  # another model


def test_the_reference_shares_the_stage_that_sees_no_image(calls: list[str]) -> None:
    shared = ["--out runs/playground/data --scale 0.6", "language"]
    own = [f"reference {stage}" for stage in (*demo.STAGES[1:], "edits")]
    demo.main(["--scale", "reference"])
    assert calls == [*shared, "--out runs/reference/data --scale 2.0", *own, "evals 50 x 4"]
    report = json.loads(Path("runs/reference/report.json").read_text())
    notes = [json.loads(Path(f"runs/{run}/timings.json").read_text()) for run in ("playground", "reference")]
    assert report["seconds"] == pytest.approx(sum(sum(n["seconds"].values()) for n in notes), abs=1.0)
    assert not (RUNS / "report.json").exists()
    calls.clear()
    demo.main([])
    assert calls == [*shared, *demo.STAGES[1:], "evals 50 x 4"]  # what is shared skips itself


def test_time_survives_a_stop(calls: list[str], monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    train = sys.modules["train"].main

    def stop(argv: list[str]) -> SimpleNamespace:
        train(argv)
        time.sleep(0.2)
        raise SystemExit(143)

    monkeypatch.setattr(sys.modules["train"], "main", lambda a: (stop if "tokenizer" in a[1] else train)(a))
    with pytest.raises(SystemExit) as stopped:
        demo.main([])
    assert stopped.value.code == 143 and calls[-1] == "tokenizer"
    assert capsys.readouterr().err == "demo: stopped; the same command goes on from here\n"
    monkeypatch.setattr(sys.modules["train"], "main", train)
    demo.main([])
    assert json.loads((RUNS / "timings.json").read_text())["seconds"]["tokenizer"] > 0.2


def test_the_time_of_an_evaluation_that_was_cut_off_is_counted(calls: list[str], monkeypatch) -> None:
    suite = sys.modules["evals.playground.suite"].playground_suite

    def stop(*args: Any, **options: Any) -> None:
        time.sleep(0.2)
        raise SystemExit(143)

    monkeypatch.setattr(sys.modules["evals.playground.suite"], "playground_suite", stop)
    with pytest.raises(SystemExit):
        demo.main([])
    monkeypatch.setattr(sys.modules["evals.playground.suite"], "playground_suite", suite)
    demo.main([])
    assert json.loads((RUNS / "timings.json").read_text())["seconds"]["evals"] > 0.2


def test_time_is_noted_while_a_stage_runs_and_starts_over_with_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(demo, "TICK", 0.02)
    file, folder = tmp_path / "timings.json", tmp_path / "stage1"
    folder.mkdir()
    with demo.Timings(file).stage("stage1", folder):
        time.sleep(0.2)
        noted = json.loads(file.read_text())  # all that a kill would leave
    assert 0.05 < noted["seconds"]["stage1"] and noted["done"] == []
    assert json.loads(file.read_text())["done"] == ["stage1"]
    folder.rmdir()
    with demo.Timings(file).stage("stage1", folder):
        pass
    assert json.loads(file.read_text())["seconds"]["stage1"] < 0.1


def test_an_unfinished_stage_ends_the_chain(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["train"], "main", lambda argv: SimpleNamespace(finished=False))
    with pytest.raises(SystemExit) as stopped:
        demo.main([])
    assert stopped.value.code == 130 and not (RUNS / "report.json").exists()


def test_errors_are_one_line(calls: list[str], monkeypatch, capsys: pytest.CaptureFixture) -> None:
    def fail(argv: list[str]) -> None:
        raise ValueError("no shards in there")

    monkeypatch.setattr(sys.modules["train"], "main", fail)
    with pytest.raises(SystemExit) as stopped:
        demo.main(["--scale", "reference"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "demo.py: error: no shards in there\n"
    assert calls == ["--out runs/playground/data --scale 0.6"]


def test_clock() -> None:
    assert [demo.clock(s) for s in (4.6, 65, 3725)] == ["0:05", "1:05", "1:02:05"]
