"""What `training/consolidate_checkpoint.py` makes of a run that is one process's own, and what it refuses."""

from pathlib import Path

import pytest
import torch

import train
from tests.tiny import BASE, write
from training import consolidate_checkpoint as gather


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write("base.yaml", BASE)
        train.main(["--config", "base.yaml", "--trainer.max_steps=6", "--trainer.enable_progress_bar=false"])
    return folder


@pytest.fixture
def run(world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its folder, from where it was made."""
    monkeypatch.chdir(world)
    return Path("runs/base")


def test_the_newest_checkpoint_or_the_one_that_is_named(run: Path, capsys: pytest.CaptureFixture) -> None:
    gather.main([str(run), "--out", "new"])
    gather.main([str(run / "checkpoints" / "previous.ckpt"), "--out", "old"])
    assert "new is the model of runs/base at step 6" in capsys.readouterr().out
    made, new, old = (torch.load(f"{f}/weights.pt", weights_only=True) for f in (run / "model", "new", "old"))
    assert all(torch.equal(made[name], new[name]) and not torch.equal(made[name], old[name]) for name in made)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("absent", "--out", "none"), "absent is no run folder"),
        (("runs/base", "--out", "runs"), "runs is there already: name a folder that is not"),
        (("runs/base/checkpoints/absent.ckpt", "--out", "none"), "there is no checkpoint runs/base/checkpoints/absent"),
        (("runs/base/checkpoints/torn.ckpt", "--out", "none"), "torn.ckpt cannot be read"),
        (("runs/empty", "--out", "none"), "runs/empty has no checkpoint yet"),
    ],
)  # fmt: skip
def test_one_line(run: Path, words: tuple[str, ...], line: str, capsys: pytest.CaptureFixture) -> None:
    (run / "checkpoints" / "torn.ckpt").write_bytes(b"torn")
    Path("runs/empty").mkdir(exist_ok=True)
    Path("runs/empty/config.yaml").write_text((run / "config.yaml").read_text())
    with pytest.raises(SystemExit) as stop:
        gather.main(list(words))
    assert stop.value.code == 2
    assert line in capsys.readouterr().err.strip()
    assert not Path("none").exists()
