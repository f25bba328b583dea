"""A model folder from a checkpoint, sharded or not: `python -m training.consolidate_checkpoint runs/NAME --out FOLDER`.

It takes the newest checkpoint of a run, finished or not, or the one that is named (runs/NAME/checkpoints/previous.ckpt).
It needs neither a GPU nor as many processes as wrote it; the model must fit in memory once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import Parser, user_errors
from common.paths import user_path

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule

ALONE = (  # whatever the run had
    *("--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.num_nodes=1", "--trainer.strategy=auto"),
    *("--trainer.precision=32-true", "--trainer.callbacks=null", "--trainer.logger=null"),
    "--trainer.enable_progress_bar=false",
)


def gather(run: Path, checkpoint: Path | None, out: Path) -> int:
    """Writes the model folder, and returns the step of the checkpoint.

    Args:
        run: the run folder.
        checkpoint: one of its checkpoints; None: the newest.
        out: the model folder, not there yet.

    Raises:
        FileNotFoundError: no run is there, or no checkpoint.
        FileExistsError: `out` holds something.
        ValueError: another process writes there, the stage exports nothing, or the checkpoint cannot be read.
    """
    if not (run / "config.yaml").is_file():
        raise FileNotFoundError(f"{run} is no run folder: there is no config.yaml in it")
    from common.files import atomic
    from common.folder_lock import FolderLock

    with FolderLock(out), atomic(out, replace=False) as scratch:
        scratch.mkdir()
        return _gather(run, checkpoint, scratch)


def _gather(run: Path, checkpoint: Path | None, out: Path) -> int:
    from training.checkpoint import find_resume_point, read_resume_point
    from training.experiment import Experiment

    point = find_resume_point(run / "checkpoints") if checkpoint is None else read_resume_point(checkpoint)
    if point.path is None:
        raise FileNotFoundError(f"{run} has no checkpoint yet")
    named = ("--name", run.name, "--runs_dir", str(run.parent))
    made = Experiment("test", run.name, ["--config", str(run / "config.yaml"), *ALONE, *named])
    module = made.model
    if not hasattr(module, "export"):
        raise ValueError(f"{run}: {type(module).__name__} has no model folder to write")
    module.trainer = made.trainer
    made.trainer.ckpt_path = str(point.path)  # so that weights of predecessors are not missed
    module.configure_model()
    _load(module, point.path)
    module.export(out)
    return point.step


def _load(module: "LightningModule", checkpoint: Path) -> None:
    import torch

    from training.parallel.sharded_checkpoint import load_into

    state = module.state_dict()
    if checkpoint.is_dir():
        load_into({"state_dict": state}, checkpoint)
    else:
        state = torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)["state_dict"]
    module.load_state_dict(state)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. A user's error is one line and exit code 2."""
    parser = Parser(
        prog="python -m training.consolidate_checkpoint",
        description=__doc__.splitlines()[0],
        allow_abbrev=False,
    )
    parser.add_argument(
        "run", type=user_path, metavar="RUN", help="a run folder, or one of the checkpoints in it"
    )
    parser.add_argument(
        "--out", type=user_path, required=True, metavar="FOLDER", help="where to; not there yet"
    )
    options = parser.parse_args(arguments)
    named = options.run.parent.name == "checkpoints"
    run, checkpoint = (options.run.parent.parent, options.run) if named else (options.run, None)
    with user_errors("consolidate_checkpoint"):
        step = gather(run, checkpoint, options.out)
    print(f"consolidate_checkpoint: {options.out} is the model of {run} at step {step}")


if __name__ == "__main__":
    main()
