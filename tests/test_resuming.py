"""A run of real data that is cut: killed, on two ranks, sharded; and what is skipped of its data."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import train
from lightning_modules.language import LanguageModule
from tests.chain import arguments, rows, small_evaluation, world
from tests.cut_off import cut_off
from tests.ranks import forked
from tests.run_process import RunProcess
from training import consolidate_checkpoint

__all__ = ["small_evaluation", "world"]


def test_a_killed_process_resumes_to_the_same_batches(world, monkeypatch):
    """kill -9 in the second epoch, with two workers reading ahead."""
    monkeypatch.chdir(world)
    given = [word for word in arguments("language", 12) if "workers" not in word] + [
        "--data.init_args.workers=2"
    ]
    whole = train.main([*given, "--name", "whole/killed"])
    process = RunProcess([*given, "--name", "killed"])
    process.wait_for_step(Path("runs/killed"), 8)
    process.kill()
    again = train.main([*given, "--name", "killed"])
    assert again.resume.step > 0 and rows(again.folder) == rows(whole.folder)
    one, other = (load_file(run.folder / "model/language/model.safetensors") for run in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_two_ranks_resume_exactly(world, monkeypatch):
    """Rank 0 alone writes the checkpoint, and it holds where the readers of both stand."""
    monkeypatch.chdir(world)
    two = [
        "--trainer.devices=2",
        "--trainer.strategy=ddp_fork_find_unused_parameters_true",
        "--data.init_args.workers=2",
    ]
    given = [word for word in arguments("language") if "workers" not in word]
    whole = train.main([*given, *two, "--name", "whole/two"])
    with cut_off(LanguageModule, 3, Exception):
        train.main([*given, *two, "--name", "two"])
    again = train.main([*given, *two, "--name", "two"])
    assert again.resume.step == 2 and rows(again.folder) == rows(whole.folder)
    one, other = (load_file(run.folder / "model/language/model.safetensors") for run in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_sharded_run_resumes_and_is_consolidated(world, monkeypatch):
    """FSDP2 on two processes, through the command line; its checkpoint becomes a model folder without them."""
    monkeypatch.chdir(world)
    given = [
        *arguments("language", 3),
        "--config",
        "fsdp.yaml",
        "--trainer.accelerator=cpu",
        "--trainer.devices=2",
    ]
    given += ["--trainer.precision=32-true", "--model.init_args.muon=[]", "--name", "sharded"]
    given += ["--speed.peak_tflops=0"]
    with cut_off(LanguageModule, 2, RuntimeError):
        forked(lambda rank: train.main(given) and None, 2)
    assert forked(lambda rank: train.main(given).resume.step, 2) == [2, 2]
    assert [row["step"] for row in rows(Path("runs/sharded")) if row["train/loss"]] == ["0", "1", "2"]
    consolidate_checkpoint.main(["runs/sharded", "--out", "gathered"])
    one, other = (
        load_file(f"{folder}/language/model.safetensors") for folder in ("runs/sharded/model", "gathered")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_missing_shards_are_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        train.main(arguments("language"))
    assert stop.value.code == 2
    assert "no shards at runs/playground/data/text" in capsys.readouterr().err
    assert not list(tmp_path.iterdir()), "nothing is left behind"
