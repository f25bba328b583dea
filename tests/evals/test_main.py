"""`python -m evals` reports what is wrong with its files before torch is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.evals.command_line import error_of

GENEVAL = ["--suite", "geneval", "--images", "images", "--detector", "org/network"]
NO_TORCH = "import runpy, sys; sys.modules['torch'] = None; runpy.run_module('evals', run_name='__main__')"
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--help"], ""),
        (["--model", "none"], "none is not a model folder"),
        ([*GENEVAL, "--prompts", "none.jsonl"], "no prompt file none.jsonl"),
        ([*GENEVAL, "--detector", "no/such/one"], "--detector no/such/one: there is no such folder"),
        (["--suite", "fid", "--images", "none", "--real", "none"], "there is no none"),
        (["--suite", "fid", "--images", "none", "--real", "none.npz"], "no statistics none.npz"),
        (["--suite", "mjhq", "--images", "none", "--real", "none"], "none/meta_data.json is not there"),
        (
            ["--suite", "genai_bench", "--prompts", "none", "--images", "images", "--vlm", "a/b"],
            "none/genai_image.json is not there",
        ),
        (
            ["--suite", "magicbrush", "--data", "none", "--images", "i", "--clip", "a/b", "--dino", "a/b"],
            "none/edit_sessions.json is not there",
        ),
    ],
)
def test_missing_files_are_reported_without_torch(words: list[str], message: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", NO_TORCH, *words]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == (2 if message else 0), done.stderr
    assert message in done.stderr and done.stderr.count("\n") == bool(message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*GENEVAL, "--images", "prompts.jsonl"], "is a file: name a folder"),
        ([*GENEVAL, "--out", "no/r.json"], "there is no folder no"),
        ([*GENEVAL, "--out", "images"], "--out images is a folder: name a file in it"),
    ],
)
def test_wrong_paths_are_one_line(
    words: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prompts.jsonl").write_text("")
    Path("images").mkdir()
    assert message in error_of(capsys, *words)
