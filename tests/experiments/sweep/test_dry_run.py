"""What would fail in every trial, with the real parser and real trainings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import yaml

import sweep
import train
from experiments.sweep import dry_run
from experiments.sweep.recipe import read_recipe
from experiments.sweep.result import best_config
from experiments.sweep.trial_run import trial_config
from tests.tiny import BASE
from training.experiment import Experiment

ROOT = Path(train.__file__).parent
SWEEP = {
    "base": "stage.yaml",
    "space": {"model.learning_rates.layer": {"type": "float", "low": 1e-3, "high": 1.0, "log": True}},
    "objective": {"val/loss": "minimize"},
    "trials": 3,
}
STAGE = {
    **BASE,
    "model": {
        "class_path": "tests.experiments.sweep.rated.RatedModule",
        "init_args": {"learning_rates": {"layer": 0.05, "other": 1.0}},
    },
}


class Parsed(Experiment):
    """A command line that is read, and of which nothing is built."""

    def instantiate_classes(self):
        pass


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACEBACK", raising=False)
    Path("stage.yaml").write_text("# A stage.\n" + yaml.safe_dump(STAGE))
    return tmp_path


def found_by_dry_run(**changes) -> dict:
    """The findings of a dry run of the sweep with some changes."""
    Path("small.yaml").write_text(yaml.safe_dump({**SWEEP, **changes}))
    dry_run.main(["small.yaml", "--out", "found.json"])
    return json.loads(Path("found.json").read_text())


def test_a_dry_run_finds_all_settings_and_leaves_nothing(here):
    found = found_by_dry_run()
    assert found["settings"]["model"]["init_args"] == {
        "learning_rates": {"layer": 0.05, "other": 1.0},
        "seconds": 0.0,
    }
    assert {"train/loss", "val/loss"} <= set(found["logged"])
    assert sorted(p.name for p in here.iterdir()) == ["found.json", "small.yaml", "stage.yaml"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"objective": {"val/los": "minimize"}},
            "the objective 'val/los' is never logged: did you mean val/loss?",
        ),
        ({"objective": {"loss": "minimize"}}, "the objective 'loss' is never logged"),
        (
            {"space": {"model.learning_rates.leyer": SWEEP["space"]["model.learning_rates.layer"]}},
            "small.yaml: model.learning_rates.leyer: model.init_args.learning_rates has no 'leyer': did you mean layer?",
        ),
        ({"fixed": {"trainer.max_step": 3}}, "trainer has no 'max_step': did you mean max_steps?"),
        (
            {"space": {"trainer.max_steps": {"type": "categorical", "choices": [3, "many"]}}},
            "trainer.max_steps",
        ),
        (
            {"space": {"data.batch_size": {"type": "float", "low": 1.5, "high": 2.5}}},
            "data.batch_size must be int, not 1.5",
        ),
    ],
)
def test_what_would_fail_in_a_trial_is_one_line(here, capsys, changes, line):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        found_by_dry_run(**changes)
    lines = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2 and len(lines) == 1 and line in lines[0], lines
    assert not Path("found.json").exists() and not Path("runs").exists()


def test_the_sweep_reports_what_its_dry_run_found(here, capsys):
    space = {"model.learning_rates.leyer": SWEEP["space"]["model.learning_rates.layer"]}
    Path("small.yaml").write_text(yaml.safe_dump({**SWEEP, "space": space}))
    with pytest.raises(SystemExit) as stop:
        sweep.main(["--config", "small.yaml"])
    *_, last = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2 and last.startswith(
        "sweep.py: error: small.yaml: model.learning_rates.leyer: "
    )
    assert not Path("runs").exists(), "a sweep that cannot start leaves no folder behind"


def test_metrics_of_callbacks_are_left_to_the_first_trial(here):
    assert found_by_dry_run(objective={"eval/accuracy": "maximize"})["settings"]


def test_trials_and_the_best_are_configs_of_train(here):
    settings = found_by_dry_run(fixed={"trainer.max_steps": 7})["settings"]
    recipe = read_recipe(here / "small.yaml")
    values = {**recipe.fixed, "model.learning_rates.layer": 0.5}
    Path("trial.yaml").write_text(trial_config(recipe, settings, values, "trial-0000"))
    read = Parsed(*train.parse(["--config", "trial.yaml"])).settings
    assert read["model"]["init_args"]["learning_rates"] == {"layer": 0.5, "other": 1.0}
    assert read["trainer"]["max_steps"] == 7 and read["name"] == "sweeps/small/trial-0000"

    study = optuna.create_study(direction="minimize")
    assert best_config(study, recipe, settings) is None
    distributions = dict(recipe.space)
    for value, lr in ((2.0, 0.1), (1.0, 0.2)):
        study.add_trial(
            optuna.create_trial(
                params={"model.learning_rates.layer": lr}, distributions=distributions, value=value
            )
        )
    Path("best.yaml").write_text(best_config(study, recipe, settings))
    read = Parsed(*train.parse(["--config", "best.yaml"])).settings
    assert read["model"]["init_args"]["learning_rates"] == {"layer": 0.2, "other": 1.0}
    assert read["trainer"]["max_steps"] == 30, "what made trials short is no part of what was found"
    assert "# All trials had trainer.max_steps: 7" in Path("best.yaml").read_text()


def test_the_examples_command_lines_are_train_pys(here, monkeypatch):
    """W&B gives each agent's run an id, and every parameter as --key=value in the place of ${args}."""
    monkeypatch.setenv("WANDB_RUN_ID", "abc")
    monkeypatch.chdir(ROOT)
    content = yaml.safe_load(Path("examples/wandb_sweep.yaml").read_text())
    words = [f"--{key}={given['max']}" for key, given in content["parameters"].items()]
    command = [w for w in content["command"][3:] if w != "${args}"]
    read = Parsed(*train.parse([*command, *words, "--runs_dir", str(here)])).settings
    assert read["name"] == "wandb/abc" and set(read["model"]["init_args"]["learning_rates"].values()) == {
        0.02
    }
    assert content["metric"]["name"] == "val/loss" and read["trainer"]["max_steps"] == 450
    shipped = read_recipe(ROOT / "configs/sweeps/stage2.yaml")
    assert set(content["parameters"]) == set(shipped.space)


@pytest.mark.slow
def test_a_real_sweep_from_the_command_line(here):
    Path("small.yaml").write_text(yaml.safe_dump(SWEEP))
    words = [sys.executable, str(ROOT / "sweep.py"), "--config", "small.yaml"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| complete |") >= 1 and "the best is trial" in done.stderr
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{here / 'runs/sweeps/small/study.db'}")
    for trial in study.trials:
        config = yaml.safe_load(
            (here / f"runs/sweeps/small/trial-{trial.number:04d}/config.yaml").read_text()
        )
        assert config["model"]["init_args"]["learning_rates"] == {
            "layer": trial.params["model.learning_rates.layer"],
            "other": 1.0,
        }
    run = train.main(["--config", "runs/sweeps/small/best.yaml", "--trainer.max_steps", "2"])
    assert run.finished
