"""One of two processes is gone or hangs: the other ends by itself, with one line and a code; the run goes on later."""

import os
import signal
import time
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

import train
from common.errors import LOST, explain, lost_process
from tests.ranks import forked, start
from tests.tiny import BASE, TinyModule, write
from training.hang_watchdog import HangWatchdog
from training.resume_point import find_resume_point

STEP = TinyModule.training_step
PATIENCE = 2.0  # seconds
COMMAND = ["--config", "two.yaml", "--timeout", str(PATIENCE)]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of two processes."""
    monkeypatch.chdir(tmp_path)
    trainer = {
        "devices": 2,
        "strategy": "ddp",
        "use_distributed_sampler": False,
        "enable_progress_bar": False,
    }
    write("two.yaml", {**BASE, "trainer": BASE["trainer"] | trainer})


@pytest.mark.parametrize(("how", "gone"), [(signal.SIGKILL, 1), (signal.SIGSTOP, 0)])
def test_the_remaining_process_ends_and_the_run_resumes(how, gone, monkeypatch, capfd) -> None:
    def step(self, batch, batch_idx):
        if self.global_step == 6 and self.global_rank == gone:
            os.kill(os.getpid(), how)
        return STEP(self, batch, batch_idx)

    monkeypatch.setattr(TinyModule, "training_step", step)
    processes = start(lambda rank: train.main(COMMAND), 2)
    other, began = processes[1 - gone], time.monotonic()
    other.join(60)
    took, code = time.monotonic() - began, other.exitcode
    for process in processes:
        process.kill()
    lines = [line for line in capfd.readouterr().err.splitlines() if "error" in line]
    assert code == LOST and took < 30
    assert len(lines) == 1 and "the same command goes on from its last checkpoint" in lines[0], lines
    assert ("has waited 2 s for the others in step 6" in lines[0]) == (how == signal.SIGSTOP)
    assert find_resume_point(Path("runs/two/checkpoints")).step == 4
    monkeypatch.setattr(TinyModule, "training_step", STEP)
    if how == signal.SIGKILL:
        assert forked(lambda rank: train.main(COMMAND).resume.step, 2) == [4, 4]


def test_errors_of_a_lost_process() -> None:
    for text in (
        "[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.2]:1234",
        "EI0002: HCCL: the wait execution of the Notify register times out",
    ):
        assert "another process of this run is gone" in explain(RuntimeError(text))
    network = type("DistBackendError", (RuntimeError,), {})
    assert lost_process(network("NCCL communicator was aborted on rank 1"))
    assert (
        not lost_process(RuntimeError("shape mismatch")) and explain(RuntimeError("shape mismatch")) is None
    )
    assert not lost_process(ValueError("gloo/ is not a folder of shards"))


def test_the_timeout_is_positive_and_one_process_has_no_watchdog() -> None:
    with pytest.raises(ValueError, match="timeout is more than 0 seconds, not 0"):
        HangWatchdog(0)
    watched = []
    patience = HangWatchdog(1)
    patience._watch = watched.append
    patience.on_train_start(Trainer(accelerator="cpu", logger=False), None)
    assert not watched
