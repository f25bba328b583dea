"""A model folder from a checkpoint, sharded or not: `python -m training.consolidate_checkpoint runs/NAME --out FOLDER`.

It takes the newest checkpoint of a run, finished or not, or the one that is named (runs/NAME/checkpoints/previous.ckpt).
It needs neither a GPU nor as many processes as wrote it; the model must fit in memory once.
"""

from collections.abc import Sequence
from pathlib import Path

from common.errors import Parser, user_errors
from common.paths import user_path

SINGLE_PROCESS = (  # whatever the run had
    *("--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.num_nodes=1", "--trainer.strategy=auto"),
    *("--trainer.precision=32-true", "--trainer.callbacks=null", "--trainer.logger=null"),
    "--trainer.enable_progress_bar=false",
)


def consolidate_checkpoint(run: Path, checkpoint: Path | None, out: Path) -> int:
    """Writes the model folder, and returns the step of the checkpoint.

    Args:
        run: the run folder.
        checkpoint: one of its checkpoints; None: the newest.
        out: the model folder, which must not exist.

    Raises:
        FileNotFoundError: no run is there, or no checkpoint.
        FileExistsError: `out` exists.
        ValueError: another process writes there, or the checkpoint cannot be read.
    """
    if not (run / "config.yaml").is_file():
        raise FileNotFoundError(f"{run} is no run folder: there is no config.yaml in it")
    from common.files import atomic
    from common.folder_lock import FolderLock

    with FolderLock(out), atomic(out, replace=False) as scratch:
        scratch.mkdir()
        return _export(run, checkpoint, scratch)


def _export(run: Path, checkpoint: Path | None, out: Path) -> int:
    import torch

    from training.experiment import Experiment
    from training.parallel.sharded_checkpoint import load_into
    from training.resume_point import find_resume_point, read_resume_point

    point = read_resume_point(checkpoint) if checkpoint else find_resume_point(run / "checkpoints")
    if point.path is None:
        raise FileNotFoundError(f"{run} has no checkpoint yet")
    arguments = ["--config", str(run / "config.yaml"), *SINGLE_PROCESS]
    arguments += ["--name", run.name, "--runs_dir", str(run.parent)]
    experiment = Experiment("test", run.name, arguments)
    module = experiment.model
    module.trainer = experiment.trainer
    module.trainer.ckpt_path = str(point.path)  # so that weights of predecessors are not needed
    module.configure_model()
    state = module.state_dict()
    if point.path.is_dir():
        load_into({"state_dict": state}, point.path)
    else:
        state = torch.load(point.path, map_location="cpu", mmap=True, weights_only=True)["state_dict"]
    module.load_state_dict(state)
    module.export(out)
    return point.step


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
        "--out",
        type=user_path,
        required=True,
        metavar="FOLDER",
        help="the model folder, which must not exist",
    )
    options = parser.parse_args(arguments)
    is_checkpoint = options.run.parent.name == "checkpoints"
    run, checkpoint = (options.run.parent.parent, options.run) if is_checkpoint else (options.run, None)
    with user_errors("consolidate_checkpoint"):
        step = consolidate_checkpoint(run, checkpoint, options.out)
    print(f"consolidate_checkpoint: {options.out} is the model of {run} at step {step}")


if __name__ == "__main__":
    main()
