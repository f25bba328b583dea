"""What a user gets wrong is one line and exit code 2; a bug keeps its traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import train
from tests.tiny import BASE, TinyModule, error_of, write

ROOT = Path(train.__file__).parent


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder with one config."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACEBACK", raising=False)
    write("base.yaml", BASE)
    return tmp_path


def test_failed_build_leaves_no_record(capsys: pytest.CaptureFixture) -> None:
    line = error_of(capsys, "--config", "base.yaml", "--model.predecessor", "stage1/model")
    assert line == "train.py: error: stage1/model is missing: run stage1 first"
    assert not Path("runs/base/config.yaml").exists()


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("fid", "there is no data/real: give a folder of images"),
        ("geneval", "there is no prompt file data/evaluation_metadata.jsonl: give"),
        ("genai_bench", "data/GenAI-Bench-1600/genai_image.json is not there: give"),
        ("editing", "data/emu_edit_test_set holds no test-*.parquet: give"),
    ],
)
def test_what_a_callback_refuses_as_it_is_made_is_its_own_line(
    capsys: pytest.CaptureFixture, config: str, line: str
) -> None:
    printed = error_of(capsys, "--config", "base.yaml", "--config", f"{config}.yaml")
    assert printed.startswith(f"train.py: error: {line}") and "Subtypes" not in printed


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("", "say what to train with --config NAME"),
        ("--config bose.yaml", "no such config"),
        ("fitt --config base.yaml", "did you mean fit?"),
        ("--config ddp.yaml --config wandb.yaml", "give --config STAGE.yaml --config ddp.yaml"),
        ("--config circle_a.yaml", "circle_a.yaml -> circle_b.yaml -> circle_a.yaml"),
        ("--config orphan.yaml", "'extends' in orphan.yaml names 'parent.yaml'"),
        ("--config broken.yaml", "broken.yaml, line 2 is not valid YAML"),
        ("--config list.yaml", "must hold 'key: value' lines"),
        ("--config base.yaml --checkpoint.every_n_steps 0", "checkpoint.every_n_steps must be 1 or more"),
        ("--config base.yaml --model.full_disk_at 1", "the disk is full"),
        ("--config base.yaml --trainer.accelerator quantum", "invalid accelerator name"),
    ],
)
def test_user_errors_are_one_line(argv: str, expected: str, capsys: pytest.CaptureFixture) -> None:
    write("circle_a.yaml", {"extends": "circle_b.yaml"})
    write("circle_b.yaml", {"extends": "circle_a.yaml"})
    write("orphan.yaml", {"extends": "parent.yaml"})
    write("list.yaml", [1])
    Path("broken.yaml").write_text("a: [1\nb: 2")
    assert expected in error_of(
        capsys, *argv.split(), *(["--trainer.enable_progress_bar=false"] if argv else [])
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("accelerator", ["gpu", "cuda"])
def test_gpu_asked_for_where_there_is_none(accelerator: str, capsys: pytest.CaptureFixture) -> None:
    assert "accelerator" in error_of(capsys, "--config", "base.yaml", "--trainer.accelerator", accelerator)


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TinyModule, "configure_optimizers", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train.main(["--config", "base.yaml"])


def test_mistyped_config_does_not_wait_for_lightning() -> None:
    code = "import sys, train\ntry: train.main(['-c', 'x'])\nexcept SystemExit: print('torch' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert (
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True).stdout.strip() == b"False"
    )
