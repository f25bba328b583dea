"""Whoever writes a folder has it alone: the second is refused in one line, and a killed one leaves it free."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import demo
import evals.__main__
import evals.benchmark
import self_enhancement.__main__
import train
from common.folder_lock import FolderBusy, FolderLock, lock_folder
from datamodules.tokenize import tokenize
from tests.run_process import RunProcess
from tests.tiny import BASE, write
from training import consolidate_checkpoint
from training.metrics_file import read_rows
from worlds.playground import shards

SHIPPED = Path(train.__file__).parent / "pretrained" / "playground"
SLOW = BASE | {"model": BASE["model"] | {"init_args": {"seconds": 0.05}}}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACEBACK", raising=False)
    write("base.yaml", SLOW)
    return tmp_path


def test_a_second_training_of_one_run_is_refused() -> None:
    command, folder = ["--config", "base.yaml", "--trainer.enable_progress_bar=false"], Path("runs/base")
    first = RunProcess(command)
    try:
        first.wait_for_step(folder, 1)
        os.kill(first.pid, signal.SIGSTOP)  # it holds the run for as long as the second takes to start
        code, error = RunProcess(command, stderr="second.txt").end()
        assert code == 2 and error.count("\n") == 1, error
        assert (
            f"runs/base is being written by process {first.pid} (" in error and f"kill {first.pid}" in error
        )
    finally:
        first.kill()  # the lock goes with it
    code, error = RunProcess(command, stderr="third.txt").end()
    assert code == 0, error
    logged = [int(row["step"]) for row in read_rows(folder / "metrics.csv")[1]]
    assert logged and logged == sorted(logged)
    assert not [path for path in Path("runs").rglob(".*") if path.name.endswith((".tmp", ".old", ".lock"))]


COMMANDS: dict[str, tuple[str, Callable[[], object]]] = {
    "train": ("runs/base", lambda: train.main(["--config", "base.yaml"])),
    "demo": ("runs/playground", lambda: demo.main([])),
    "demo reference": ("runs/playground", lambda: demo.main(["--scale", "reference"])),
    "shards": ("out", lambda: shards.main(["--out", "out", "--scale", "0.001"])),
    "consolidate_checkpoint": ("out", lambda: consolidate_checkpoint.main(["runs/base", "--out", "out"])),
    "self_enhancement": (
        "out",
        lambda: self_enhancement.__main__.main(["--model", str(SHIPPED), "--prompts", "p", "--out", "out"]),
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_another_process_writes_is_refused_in_one_line(
    command: str, capsys: pytest.CaptureFixture
) -> None:
    folder, run = COMMANDS[command]
    if command == "consolidate_checkpoint":
        Path("runs/base").mkdir(parents=True)
        write("runs/base/config.yaml", SLOW)
    lock = FolderLock(Path(folder))
    try:
        with pytest.raises(SystemExit) as stop:
            run()
    finally:
        lock.release()
    output = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and "\n" not in output
    assert f"{folder} is being written by process {os.getpid()}" in output and "wait for it" in output


def test_images_that_another_process_makes_are_refused(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(evals.benchmark, "run", lambda *_: pytest.fail("it ran"))
    words = ["--suite", "fid", "--images", "images", "--real", "images"]
    Path("images").mkdir()
    for i in range(2):
        Path(f"images/{i}.png").write_bytes(b"")
    with lock_folder(Path("images")), pytest.raises(SystemExit) as stop:
        evals.__main__.main(words)
    output = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and output.startswith("evals: error: images is being written by process")


def test_shards_that_another_process_tokenizes_are_refused() -> None:
    model = SimpleNamespace(fingerprint=lambda *parts: "0" * 12)
    with lock_folder(Path("out")), pytest.raises(FolderBusy, match="out is being written by process"):
        tokenize(model, [], Path("out"))


@pytest.mark.parametrize("variable", ["RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"])
def test_the_other_processes_of_one_run_take_no_lock(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from common.folder_lock import is_first_process

    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert is_first_process()
    monkeypatch.setenv(variable, "0")
    assert is_first_process()
    monkeypatch.setenv(variable, "1")
    assert not is_first_process()


def test_a_run_that_never_began_leaves_folders_as_they_were(capsys: pytest.CaptureFixture) -> None:
    Path("there").mkdir()  # as where a disk is mounted
    lacking = ["--model.init_args.predecessor", "nowhere"]
    for runs in ("there", "new/deep"):
        with pytest.raises(SystemExit):
            train.main(["--config", "base.yaml", "--runs_dir", runs, *lacking])
        assert "nowhere is missing" in capsys.readouterr().err
    assert Path("there").is_dir() and not list(Path("there").iterdir()) and not Path("new").exists()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of one megabyte, where this machine lets one be mounted."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True
        ).returncode
        if mounted != 0:
            pytest.skip("nothing can be mounted here")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_on_a_mounted_runs_dir_is_reported_and_leaves_the_folder(
    small_disk: Path, capsys: pytest.CaptureFixture
) -> None:
    room = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(b"0" * (room.f_bavail * room.f_frsize))
    with pytest.raises(SystemExit) as stop:
        train.main(["--config", "base.yaml", "--runs_dir", str(small_disk)])
    output = capsys.readouterr().err
    assert stop.value.code == 2 and "the disk is full" in output and "Traceback" not in output, output
    assert small_disk.is_dir() and [path.name for path in small_disk.iterdir()] == ["filler"]
    (small_disk / "filler").unlink()
    train.main(["--config", "base.yaml", "--runs_dir", str(small_disk), "--model.init_args.seconds", "0"])
