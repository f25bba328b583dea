"""A run that is asked to stop at any instant goes on to the same metrics and the same model."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

import train
from common.signals import STOP_SIGNALS
from tests.ranks import forked
from tests.run_process import RunProcess
from tests.tiny import BASE, TinyModule, error_of, write
from training.metrics_file import read_rows

TRAINER = BASE["trainer"] | {"enable_progress_bar": False}
DATA = {"class_path": "tests.tiny.TinyData", "init_args": {"batch_size": 12}}  # four batches an epoch
EPOCHS = TRAINER | {"max_steps": -1, "max_epochs": 2}
SHAPES = {
    "steps": TRAINER | {"max_steps": 6, "val_check_interval": 2},
    "epochs": EPOCHS | {"val_check_interval": 1.0},
    "accumulated": TRAINER | {"max_steps": 3, "accumulate_grad_batches": 2, "val_check_interval": 1},
    "uneven": EPOCHS | {"accumulate_grad_batches": 3, "val_check_interval": 3},
    "every_other": TRAINER | {"max_steps": 8, "check_val_every_n_epoch": 2, "val_check_interval": 1.0},
    "unvalidated": TRAINER | {"max_steps": 5, "limit_val_batches": 0},
}


class Counts(Callback):
    """Logs at the ends of epoch and training, and keeps count of validations: what must not be done twice, or lost."""

    def __init__(self) -> None:
        self.validations = 0

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.validations = state_dict["validations"]

    def _log(self, trainer: Trainer, name: str) -> None:
        for logger in trainer.loggers:
            logger.log_metrics({f"counts/{name}": self.validations}, step=max(0, trainer.global_step - 1))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validations += 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log(trainer, "epoch")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log(trainer, "end")


EVENTS = {  # where a signal can come
    "step": (TinyModule, "training_step"),
    "validation": (TinyModule, "validation_step"),
    "validated": (Counts, "on_validation_end"),
    "epoch_end": (Counts, "on_train_epoch_end"),
    "end": (Counts, "on_train_end"),
    "export": (TinyModule, "export"),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, trainer in SHAPES.items():
        settings = trainer | {"callbacks": [{"class_path": f"{__name__}.Counts"}]}
        write(f"{name}.yaml", {**BASE, "name": "run", "data": DATA, "trainer": settings})


def command(shape: str, *others: str) -> list[str]:
    return ["--config", f"{shape}.yaml", "--checkpoint.every_n_steps", "1000", *others]


def outcome(folder: Path) -> tuple[list[dict[str, str]], list[torch.Tensor]]:
    """All that a run leaves: its metrics and its model."""
    return read_rows(folder / "metrics.csv")[1], list(
        torch.load(folder / "model" / "weights.pt", weights_only=True).values()
    )


def same(one: tuple, other: tuple) -> bool:
    return one[0] == other[0] and all(map(torch.equal, one[1], other[1]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple]:
    """What a run leaves that nothing stops."""
    known: dict[str, tuple] = {}

    def run(shape: str) -> tuple:
        if shape not in known:
            train.main(command(shape, "--name", "whole"))
            known[shape] = outcome(Path("runs/whole"))
        return known[shape]

    return run


class interrupted:
    """Sends this process a signal at the n-th time that something is called, before or after it."""

    def __init__(
        self, event: str, number: int, what: signal.Signals = signal.SIGTERM, after: bool = False
    ) -> None:
        self.event, self.number, self.what, self.after = event, number, what, after
        self.count = 0

    def __enter__(self) -> "interrupted":
        self.patch = pytest.MonkeyPatch()
        owner, name = EVENTS[self.event]
        function = getattr(owner, name)

        def called(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self.count == self.number and not self.after:
                os.kill(os.getpid(), self.what)
            result = function(*args, **kwargs)
            if self.count == self.number and self.after:
                os.kill(os.getpid(), self.what)
            return result

        def step(self_: Any, batch: torch.Tensor, batch_idx: int) -> Any:  # Lightning looks at the signature
            return called(self_, batch, batch_idx)

        self.patch.setattr(owner, name, step if name.endswith("_step") else called)
        return self

    def __exit__(self, *error: object) -> None:
        self.patch.undo()


def train_to_its_end(argv: list[str], event: str) -> int:
    """Runs a command that gets a signal in each session, until it is finished; returns how often it was stopped."""
    stopped = 0
    again = {
        "validation": 3,
        "validated": 2,
        "end": 2,
        "export": 2,
    }  # what was cut off comes first, and comes whole
    while not Path("runs/run/finished.json").exists():
        with interrupted(event, again.get(event, 1) if stopped else 1, after=stopped % 2 == 1):
            try:
                train.main(argv)
            except SystemExit as end:
                assert end.code == 143
                stopped += 1
    return stopped


@pytest.mark.parametrize("shape", SHAPES)
def test_a_signal_in_every_step(shape: str, whole: Callable) -> None:
    """Also in the last of an epoch, and of the run, where a validation is owed, and where gradients are accumulated."""
    expected = whole(shape)
    stopped = train_to_its_end(command(shape), "step")
    steps = {"steps": 6, "epochs": 8, "accumulated": 3, "uneven": 4, "every_other": 8, "unvalidated": 5}
    assert stopped == steps[shape]
    assert same(outcome(Path("runs/run")), expected)


@pytest.mark.parametrize("event", [event for event in EVENTS if event != "step"])
@pytest.mark.parametrize("shape", ["steps", "epochs"])
def test_a_signal_between_steps(shape: str, event: str, whole: Callable) -> None:
    """In validation, in what follows it, at the ends of epochs and of training, and while the model is exported."""
    expected = whole(shape)
    assert train_to_its_end(command(shape), event) >= 1
    assert same(outcome(Path("runs/run")), expected)


def slow(workers: int = 2) -> list[str]:
    model = {"class_path": "tests.tiny.TinyModule", "init_args": {"lr": 0.05, "seconds": 0.1}}
    data = {"class_path": "tests.tiny.TinyData", "init_args": {"batch_size": 4, "workers": workers}}
    write(
        "slow.yaml",
        {**BASE, "name": "run", "model": model, "data": data, "trainer": TRAINER | {"max_steps": 400}},
    )
    return ["--config", "slow.yaml", "--checkpoint.every_n_steps", "1000"]


def test_a_signal_to_the_process_group_leaves_data_workers_running() -> None:
    """As timeout, batch systems and closed terminals send it: every kind in turn, to the same run."""
    argv, step = slow(), 0
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGINT):
        run = RunProcess(argv)
        run.wait_for_step(Path("runs/run"), step + 1)
        assert (workers := run.workers())
        os.killpg(run.pid, number)
        code, output = run.end()
        assert code == 143, output
        assert (
            f"stopped ({number.name}); the same command goes on from here" in output
            and "Traceback" not in output
        )
        saved = torch.load("runs/run/checkpoints/last.ckpt", weights_only=True)["global_step"]
        assert saved > step
        step = saved
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in workers):
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU])
def test_preemption_saves_a_checkpoint(number: signal.Signals, whole: Callable, monkeypatch, capsys) -> None:
    """SLURM's too, whose requeueing Lightning would do in its own way."""
    for name, value in {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "7"}.items():
        monkeypatch.setenv(name, value)
    expected = whole("steps")
    with interrupted("step", 3, number), pytest.raises(SystemExit) as end:
        train.main(command("steps"))
    assert end.value.code == 143 and f"stopped ({number.name})" in capsys.readouterr().err
    assert train.main(command("steps")).resume.step == 3
    assert same(outcome(Path("runs/run")), expected)


def test_signals_ignored_at_the_start_stay_ignored() -> None:
    """nohup's SIGHUP, and a shell's SIGINT and SIGQUIT to what it started in the background (docs/decisions/)."""

    def ignore() -> None:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)

    run = RunProcess(slow(0), before=ignore)
    run.wait_for_step(Path("runs/run"), 1)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        os.kill(run.pid, number)
    run.process.join(1)
    assert run.process.is_alive()
    run.process.terminate()
    assert run.end()[0] == 143


def test_signal_handlers_are_restored() -> None:
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    train.main(command("unvalidated"))
    assert {number: signal.getsignal(number) for number in STOP_SIGNALS} == before


def test_the_second_ctrl_c_stops_at_once(capsys: pytest.CaptureFixture) -> None:
    seen = []

    def step(self: TinyModule, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        seen.append(batch_idx)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("not here")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(TinyModule, "training_step", step)
        train.main(command("steps"))
    assert seen == [0] and not Path("runs/run/checkpoints").exists() and stop.value.code == 130
    assert "train.py: stopped at once" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("shape", ["steps", "epochs"])
def test_max_time_ends_a_session_and_not_the_run(shape: str, whole: Callable, monkeypatch, capsys) -> None:
    expected, step = whole(shape), TinyModule.training_step

    def late(self: TinyModule, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        time.sleep(0.6)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TinyModule, "training_step", late)
    argv, sessions = command(shape, "--trainer.max_time", "00:00:00:01"), 0
    while not Path("runs/run/finished.json").exists():
        assert not Path("runs/run/model").exists()
        try:
            train.main(argv)
        except SystemExit as end:
            assert end.code == 143
            assert "stopped (trainer.max_time); the same command goes on" in capsys.readouterr().err
            sessions += 1
    assert sessions >= 2
    assert same(outcome(Path("runs/run")), expected)


@pytest.mark.parametrize("value", ["soon", "00:00:00:00", "8"])
def test_a_wrong_max_time_is_one_line(value: str, capsys: pytest.CaptureFixture) -> None:
    line = error_of(capsys, *command("steps", "--trainer.max_time", value))
    assert "trainer.max_time is DD:HH:MM:SS" in line and not Path("runs").exists()


def test_a_timer_of_the_config_s_own_is_refused(capsys: pytest.CaptureFixture) -> None:
    timer = {"class_path": "lightning.pytorch.callbacks.Timer", "init_args": {"duration": "00:00:00:08"}}
    write("timer.yaml", {**BASE, "trainer": TRAINER | {"callbacks": [timer]}})
    assert "give trainer.max_time instead" in error_of(capsys, "--config", "timer.yaml")


@pytest.mark.parametrize("asked", [0, 1])
def test_a_signal_to_one_of_two_processes_stops_both(asked: int, whole: Callable) -> None:
    """At the same step, without anybody's time-out; the run goes on to what it would have been."""
    two = {"devices": 2, "strategy": "ddp", "use_distributed_sampler": False}
    write("two.yaml", {**BASE, "name": "run", "data": DATA, "trainer": SHAPES["steps"] | two})
    step = TinyModule.training_step

    def run(rank: int, name: str, stop: int | None) -> tuple[int, float, int]:
        def interrupted(self: TinyModule, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
            if self.global_step == stop and rank == asked:
                os.kill(os.getpid(), signal.SIGTERM)
            return step(self, batch, batch_idx)

        TinyModule.training_step = interrupted  # in this process alone
        began = time.monotonic()
        try:
            done = train.main(["--config", "two.yaml", "--checkpoint.every_n_steps", "1000", "--name", name])
            return 0, time.monotonic() - began, done.resume.step
        except SystemExit as end:
            return end.code, time.monotonic() - began, 0

    assert [code for code, *_ in forked(lambda rank: run(rank, "both", None), 2)] == [0, 0]
    for stop in (0, 1, 2, 4, 5):
        ended = forked(lambda rank, stop=stop: run(rank, f"run{stop}", stop), 2)
        assert [code for code, *_ in ended] == [143, 143] and max(took for _, took, _ in ended) < 60
        again = forked(lambda rank, stop=stop: run(rank, f"run{stop}", None), 2)
        assert [code for code, *_ in again] == [0, 0] and again[0][2] == again[1][2] >= stop + 1
        assert same(outcome(Path(f"runs/run{stop}")), outcome(Path("runs/both")))
