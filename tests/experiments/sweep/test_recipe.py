"""What is no sweep is reported in one line, before anything is trained."""

import json

import pytest

import sweep
import train
from experiments.sweep.recipe import read_recipe
from tests.experiments.sweep.world import SWEEP, error_of, starts
from training.configs import CONFIGS

LR = "{type: float, low: 1.0e-4, high: 1.0, log: true}"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("base: stage.yaml", "bass: stage.yaml", "is no sweep: it needs base:"),
        ("trials: 12", "trials: 12\nsed: 1", "has the key 'sed': did you mean seed?"),
        ("trials: 12", "trials: [12", "is not valid YAML"),
        ("trials: 12", "trials: 0", "trials is 0, and must be a whole number from 1"),
        ("trials: 12", "trials: 12\nname: ../other", "name is '../other'"),
        ("trials: 12", "trials: 12\nfixed: [1]", "fixed must hold 'key: value' lines"),
        ("trials: 12", "trials: 12\nstorage: [a]", "storage is a database's URL or the path"),
        (
            "trials: 12",
            "trials: 12\nfixed: {runs_dir: x}",
            "runs_dir is what a sweep gives each trial itself",
        ),
        ("stage.yaml", "stag.yaml", "base in small.yaml names 'stag.yaml', and there is no such config"),
        (
            LR,
            "{type: flaot, low: 1, high: 2}",
            "model.lr: type is 'flaot', and there is float, int, categorical",
        ),
        (LR, "{type: float, low: 1}", "model.lr: float needs high"),
        (LR, "{type: float, low: 1, high: 2, hgih: 3}", "float has no 'hgih': did you mean high?"),
        (LR, "{type: float, low: 2, high: 1}", "model.lr: `low <= high` must hold"),
        (LR, "{type: float, low: 0, high: 1, log: true}", "model.lr: `low > 0` must hold"),
        (LR, "{type: float, low: a, high: 1}", "model.lr: could not convert string to float: 'a'"),
        (LR, "{type: int, low: 1.5, high: 3}", "model.lr: 1.5 is not a whole number"),
        (LR, "{type: categorical, choices: 3}", "choices must be a list of values"),
        (LR, "{type: categorical, choices: [1, 1]}", "choices has a value twice"),
        ("{val/loss: minimize}", "{val/loss: down}", "objective names a metric and minimize or maximize"),
        ("{val/loss: minimize}", "val/loss", "objective names a metric and minimize or maximize"),
        ("{val/loss: minimize}", "{val/loss: minimize, val/b: maximize}", "nothing can be pruned by several"),
        (
            "TPESampler,",
            "TPESmapler,",
            "small.yaml: sampler: there is no 'TPESmapler': did you mean TPESampler?",
        ),
        ("MedianPruner", "Median", "small.yaml: pruner: there is no 'Median'"),
        ("n_startup_trials: 4", "n_startup: 4", "TPESampler has no 'n_startup'"),
        ("n_startup_trials: 4", "seed: 4", "TPESampler has no 'seed': give seed: to the sweep"),
        (
            "n_warmup_steps: 1",
            "n_warmup_steps: -1",
            "MedianPruner: Number of warmup steps cannot be negative",
        ),
        ("{class: TPESampler, args: {n_startup_trials: 4}}", "TPESampler", "sampler is {class: NAME, args"),
        (
            "{class: TPESampler, args: {n_startup_trials: 4}}",
            "{class: GridSampler, args: {search_space: {model.lr: [0.1, 0.2]}}}",
            "the grid's search_space must name the keys of space",
        ),
    ],
)
def test_what_is_no_sweep_is_one_line(world, capsys, old, new, line):
    assert old in SWEEP
    (world / "small.yaml").write_text(SWEEP.replace(old, new))
    assert line in error_of(capsys)
    assert not (world / "runs").exists() and not starts(world)


def test_a_grid_smaller_than_the_sweep_is_refused(world, capsys):
    trunk = "model.init_args.learning_rates.trunk"
    grid = f"{{class: GridSampler, args: {{search_space: {{model.lr: [0.1, 0.2], {trunk}: [0, 1]}}}}}}"
    text = SWEEP.replace("{class: TPESampler, args: {n_startup_trials: 4}}", grid)
    (world / "small.yaml").write_text(text)
    assert "the grid has 4 points: trials can be no more" in error_of(capsys)
    (world / "small.yaml").write_text(text.replace("trials: 12", "trials: 4"))
    found = sweep.main(
        ["--config", "small.yaml"]
    )  # the last point stops Optuna's own loop, which is not ours
    points = {(t.params["model.lr"], t.params["model.init_args.learning_rates.trunk"]) for t in found.trials}
    assert points == {(lr, trunk) for lr in (0.1, 0.2) for trunk in (0, 1)}


def test_a_grid_over_lists_and_mappings(world, capsys):
    space = "{type: categorical, choices: [{trunk: 0.1, text: 0.0}, {trunk: 0.2, text: 0.0}]}"
    points = "[{trunk: 0.2, text: 0.0}, {trunk: 0.1, text: 0.0}]"
    grid = f"{{class: GridSampler, args: {{search_space: {{model.init_args.learning_rates: {points}}}}}}}"
    lines = [line for line in SWEEP.splitlines() if not line.startswith(("  model", "sampler", "trials"))]
    at = lines.index("space:") + 1
    lines[at:at] = [f"  model.init_args.learning_rates: {space}"]
    text = "\n".join([*lines, f"sampler: {grid}", "fixed: {model.lr: 0.1}", "trials: 2"])
    (world / "small.yaml").write_text(text)
    found = sweep.main(["--config", "small.yaml"])
    assert sorted(json.loads(t.params["model.init_args.learning_rates"])["trunk"] for t in found.trials) == [
        0.1,
        0.2,
    ]
    assert all(t.state.name == "COMPLETE" for t in found.trials)
    (world / "small.yaml").write_text(
        text.replace("[{trunk: 0.2, text: 0.0}, {", "[{trunk: 0.3, text: 0.0}, {")
    )
    assert "which its space does not hold" in error_of(capsys)
    (world / "small.yaml").write_text(
        text.replace("[{trunk: 0.2, text: 0.0}, {trunk: 0.1, text: 0.0}]}}}", "3}}}")
    )
    assert "a list of values, not 3" in error_of(capsys)


def test_a_config_that_is_not_there_is_told_with_those_that_are(world, capsys):
    with pytest.raises(SystemExit) as stop:
        sweep.main(["--config", "sweeps/stage9.yaml"])
    assert stop.value.code == 2 and "did you mean sweeps/stage2.yaml?" in capsys.readouterr().err


def test_training_a_sweep_names_the_command_that_runs_it(world, capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["--config", "small.yaml"])
    assert stop.value.code == 2 and "run `python sweep.py --config" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "keys"), [("stage2", 4), ("language", 3)])
def test_the_sweeps_that_come_along_can_be_read(name, keys):
    recipe = read_recipe(CONFIGS / "sweeps" / f"{name}.yaml")
    assert recipe.name == name and len(recipe.space) == keys and recipe.objective == {"val/loss": "minimize"}


def test_several_objectives_are_not_pruned_unless_told(world):
    text = SWEEP.replace("{val/loss: minimize}", "{val/loss: minimize, val/b: maximize}")
    (world / "small.yaml").write_text("\n".join(x for x in text.splitlines() if not x.startswith("pruner")))
    assert read_recipe(world / "small.yaml").pruner == {"class": "NopPruner"}


def test_a_trials_values_follow_from_its_number(world):
    recipe = read_recipe(world / "small.yaml")
    draws = [recipe.sampler_for(number)._rng.rng.rand() for number in (0, 1, 0)]
    assert draws[0] == draws[2] != draws[1]
