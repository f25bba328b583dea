"""Options of a plan, and what is wrong with them, reported in one line."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import train
from tests.tiny import BASE, error_of, write
from training.configs import CONFIGS
from training.plan.options import Options, parse_plan_options


def test_plan_options_are_taken_out_of_a_command_line():
    assert parse_plan_options(["--config", "a.yaml"]) == (None, ["--config", "a.yaml"])
    argv = ["--plan_device", "a100", "--config", "a.yaml", "--plan", "--plan_utilisation=0.3"]
    assert parse_plan_options(argv) == (Options("a100", 0.3), ["--config", "a.yaml"])
    assert parse_plan_options(["--plan"]) == (Options(None, 0.4), [])


@pytest.mark.parametrize(
    ("argv", "printed"),
    [
        (["--plan", "--plan_device", "h1000"], "--plan_device 'h1000' is not known; there is h100, a100"),
        (["--plan", "--plan_device"], "--plan_device '' is not known"),
        (["--plan", "--plan_utilisation", "40"], "--plan_utilisation is a share of the device's peak"),
        (["--plan", "--plan_utilisation", "much"], "up to 1, not 'much'"),
        (["--plan_device", "h100"], "--plan_device is an option of a plan: give --plan as well"),
        (["--plan=yes"], "--plan takes no value"),
    ],
)
def test_wrong_options_are_one_line(argv, printed, capsys):
    assert printed in error_of(capsys, "--config", "stage2.yaml", *argv)


def test_a_plan_of_no_training_or_no_known_stage_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "leave out validate" in error_of(capsys, "validate", "--config", "stage2.yaml", "--plan")
    assert "did you mean stage2.yaml" in error_of(capsys, "--config", "stege2.yaml", "--plan")
    write("mine.yaml", BASE)
    assert "a TinyModule is not planned" in error_of(capsys, "--config", "mine.yaml", "--plan")
    stage = ("--config", "stage2.yaml", "--plan")
    assert "did you mean muon" in error_of(capsys, *stage, "--model.init_args.muom", "[]")


def test_a_mistyped_config_waits_for_no_torch(tmp_path):
    code = "import sys, train\ntry: train.main(['--config', 'nothing.yaml', '--plan'])\n"
    code += "except SystemExit: sys.exit('torch' in sys.modules)"
    root = Path(train.__file__).parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True).returncode == 0


def test_the_options_are_in_the_help(capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0
    assert all(f"{option} " in said for option in ("--plan", "--plan_device", "--plan_utilisation"))
    assert "plan" not in yaml.safe_load(CONFIGS.joinpath("playground/base.yaml").read_text())
