"""The command: killed, it goes on; mistakes are one line."""

import time
from pathlib import Path

import numpy as np
import pytest

from self_enhancement.__main__ import main
from tests import ranks
from tests.self_enhancement.rounds import content

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_killed_command_goes_on(tmp_path, pairs):
    """kill -9, once while it draws and once while it judges; forked, so that nothing is imported again."""
    given = ["--model", str(ROOT / "pretrained/playground"), "--prompts", pairs, "--count", "24", "--out"]

    def start(out):
        def work(_):
            main([*given, str(out)])
            (tmp_path / f"{out.name}.done").touch()

        return ranks.start(work, 1)[0]

    def wait(process, until):
        deadline = time.monotonic() + 120
        while not until.is_file():
            assert process.is_alive() and time.monotonic() < deadline
            time.sleep(0.002)

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    wait(start(whole), tmp_path / "whole.done")
    for until in ("round.json", "drawn/00000.npy"):
        process = start(cut)
        wait(process, cut / until)
        process.kill()
        process.join()
        assert not (tmp_path / "cut.done").exists()
    wait(start(cut), tmp_path / "cut.done")
    assert content(cut) == content(whole)
    assert np.load(whole / "drawn/00002.npy").shape == (8, 3, 48, 48)


def test_a_judge_without_a_key_is_an_error_before_drawing(tmp_path, pairs, monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (tmp_path / "judge.yaml").write_text("class_path: judges.open_ai.OpenAIJudge\n")
    words = ["--model", str(tmp_path), "--prompts", pairs, "--out", str(tmp_path / "round")]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--judge", str(tmp_path / "judge.yaml")])
    assert stop.value.code == 2 and "no key in the environment variable" in capsys.readouterr().err
    assert not (tmp_path / "round").exists()


def test_wrong_options_are_one_line(tmp_path, pairs, capsys):
    given = ["--model", "pretrained/playground", "--prompts", pairs, "--out", str(tmp_path / "out")]
    for option, value, line in (
        ("--device", "cuda:7", "--device cuda:7: this machine has no CUDA device"),
        ("--batch", "0", "--batch: '0' is not a whole number from 1"),
        ("--sequence-length", "0", "--sequence-length: '0' is not a whole number from 1"),
    ):
        with pytest.raises(SystemExit) as stop:
            main([*given, option, value])
        assert stop.value.code == 2 and line in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
