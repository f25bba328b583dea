"""An ablation runs every arm with every seed once, compares them in pairs, and does nothing twice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import train
from experiments import ablate
from tests.fixtures import tiny_illume
from training.experiment import Experiment

__all__ = ["tiny_illume"]

YAML = """# Two arms.
arms: {plain: plain.yaml, more: more.yaml}
gain_of: more
seeds: [3, 5]
evals: {samples: 4, assess: true}
paper: self-enhancement
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "small.yaml").write_text(YAML)
    for name in ("plain", "more"):
        (tmp_path / f"{name}.yaml").write_text("# An arm.\n")
    return tmp_path


@pytest.fixture
def calls(monkeypatch, tiny_illume, request):
    """What was called, in order; training leaves a model, evaluation a score that the arm and the seed fix."""
    made: list[tuple[str, ...]] = []
    others: set[str] = getattr(request, "param", set())  # runs that begin with other weights

    def call(self, folder: Path, lock: tuple[int, ...], *arguments: str) -> None:
        made.append(arguments)
        if arguments[0] == "train.py":
            tiny_illume.save_pretrained(str(folder / "model"))
            kept = folder / "predecessors/start"
            kept.mkdir(parents=True, exist_ok=True)
            (kept / "weights.json").write_text(json.dumps({"hash": f"weights {folder.name in others}"}))
            return
        seed = int(folder.name.rpartition("-")[2])
        score = 0.5 + 0.01 * seed + (0.1 if folder.name.startswith("more") else 0)
        report = {"geneval/overall": score, "vqa/accuracy": 0.9, "suite": "playground"}
        (folder / "report.json").write_text(json.dumps(report))

    monkeypatch.setattr(ablate.Runner, "_call", call)
    return made


def test_every_arm_with_every_seed_and_nothing_twice(folder, calls, capsys):
    given = [str(folder / "small.yaml"), "--runs_dir", str(folder / "runs")]
    record = ablate.main(given)
    trained = [words for words in calls if words[0] == "train.py"]
    assert [words[words.index("--name") + 1] for words in trained] == [
        "small/plain-3",
        "small/more-3",
        "small/plain-5",
        "small/more-5",
    ]
    assert [words[words.index("--seed_everything") + 1] for words in trained] == ["3", "3", "5", "5"]
    measured = [words for words in calls if words[0] == "-m"]
    assert len(measured) == 4 and measured[0][-3:] == ("--samples", "4", "--assess")
    assert record["geneval_gain_mean"] == pytest.approx(0.1) and record["vqa_gain_mean"] == 0
    assert record["seeds"] == [3, 5] and record["runs"]["more"][5]["geneval/overall"] == pytest.approx(0.65)
    kept = json.loads((folder / "runs/small.json").read_text())
    assert kept["gains"]["more over plain"]["geneval/overall"]["mean"] == pytest.approx(0.1)
    printed = capsys.readouterr().out
    assert "| more over plain | +0.100 ± 0.000 |" in printed and "| + assessment | 0.59 |" in printed

    calls.clear()
    handler = signal.getsignal(signal.SIGTERM)
    ablate.main(given)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert {words[0] for words in calls} == {"train.py"}, "training is asked, which knows what it has done"
    (folder / "small.yaml").write_text(YAML.replace("samples: 4", "samples: 8"))
    calls.clear()
    ablate.main(given)
    assert sum(words[0] == "-m" for words in calls) == 4


@pytest.mark.parametrize("calls", [{"more-5"}], indirect=True)
def test_runs_that_began_with_other_weights_are_not_compared(folder, calls, capsys):
    with pytest.raises(SystemExit) as stop:
        ablate.main([str(folder / "small.yaml"), "--runs_dir", str(folder / "runs")])
    assert stop.value.code == 2 and "more-5 began with other weights of start" in capsys.readouterr().err


def test_several_at_once_give_the_same(folder, calls, capsys, monkeypatch):
    one = ablate.main([str(folder / "small.yaml"), "--runs_dir", str(folder / "one")])
    call, both = ablate.Runner._call, threading.Barrier(2, timeout=20)

    def together(self, *given):
        both.wait()  # breaks if they came one after the other
        call(self, *given)

    monkeypatch.setattr(ablate.Runner, "_call", together)
    two = ablate.main([str(folder / "small.yaml"), "--runs_dir", str(folder / "two"), "--jobs", "2"])
    assert one["runs"] == two["runs"] and one["gains"] == two["gains"]


def test_a_run_that_fails_is_told_with_its_last_line(folder, capsys):
    with pytest.raises(SystemExit) as stop:
        ablate.main([str(folder / "small.yaml"), "--runs_dir", str(folder / "runs")])
    printed = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2 and "plain-3 failed: " in printed and "plain-3.log" in printed


def test_training_an_ablation_names_the_command_that_runs_it(capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["--config", "ablations/joint.yaml"])
    assert (
        stop.value.code == 2
        and "`python -m experiments.ablate ablations/joint.yaml`" in capsys.readouterr().err
    )


class Parsed(Experiment):
    """A command line that is read, and of which nothing is built."""

    def instantiate_classes(self):
        pass


@pytest.mark.parametrize("arm", ["self_enhancement/pairs", "self_enhancement/assessment", "joint/generation"])
def test_what_is_random_in_an_arm_follows_its_seed(arm):
    """All parts are loaded, so only data and drawings can differ; a seed that they ignored would give one run thrice."""
    command = train.parse(["--config", f"ablations/{arm}.yaml", "--seed_everything", "7"])
    settings = Parsed(*command).settings
    seeds = [settings["data"]["init_args"]["seed"]]
    seeds += [callback["init_args"]["round"]["seed"] for callback in settings["trainer"]["callbacks"]]
    assert set(seeds) == {7} and len(seeds) == (1 if arm.startswith("joint") else 2)


def test_measures_that_an_arm_cannot_have_are_left_out(folder, calls):
    text = YAML.replace("gain_of: more", "gain_of: more\nmeasured: {plain: [vqa]}")
    (folder / "small.yaml").write_text(text)
    record = ablate.main([str(folder / "small.yaml"), "--runs_dir", str(folder / "runs")])
    assert set(record["runs"]["plain"][3]) == {"vqa/accuracy"} and "geneval_gain_mean" not in record
    assert record["vqa_gain_over"] == "plain" and set(record["gains"]["more over plain"]) == {"vqa/accuracy"}


def test_a_folder_is_not_written_over(folder, calls, capsys):
    (folder / "results").mkdir()
    (folder / "results/kept.json").write_text("{}")
    with pytest.raises(SystemExit) as stop:
        ablate.main([str(folder / "small.yaml"), "--out", str(folder / "results")])
    assert stop.value.code == 2 and "name a file" in capsys.readouterr().err
    assert (folder / "results/kept.json").is_file() and not calls


def test_one_that_is_ended_takes_its_runs_with_it(folder):
    """The child of this one would sleep for ten minutes."""
    (folder / "train.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(600)\n")
    (folder / "wrapper.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(ablate.__file__).parents[1])!r})\n"
        "from experiments import ablate, processes\n"
        f"from pathlib import Path\nprocesses.ROOT = Path({str(folder)!r})\n"
        f"ablate.main([{str(folder / 'small.yaml')!r}, '--runs_dir', {str(folder / 'runs')!r}])\n"
    )
    words = [sys.executable, str(folder / "wrapper.py")]
    with subprocess.Popen(words, cwd=folder, start_new_session=True, stderr=subprocess.DEVNULL) as run:
        log, deadline = folder / "runs/small/plain-3.log", time.monotonic() + 60
        while not (log.is_file() and log.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert log.read_text() == "here\n"
        run.terminate()
        assert run.wait(20) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):  # nothing of its session is left
        os.killpg(run.pid, 0)
