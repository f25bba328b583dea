"""How long one waits for the first sign of life: `python -m benchmarks.start_up [--json]`.

`train.py --help` beside `import lightning.pytorch.cli`, which it cannot do without, in turn, in processes of their own;
and the seconds from the command to the first step of the playground's first stage, on data that are there.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import command, in_turn, made_with, over, show

ROOT = Path(__file__).resolve().parent.parent
TRAIN = [sys.executable, str(ROOT / "train.py")]
HELP = [*TRAIN, "--help"]
IMPORT = [sys.executable, "-c", "import lightning.pytorch.cli"]
STAGE = ["--config", "language.yaml", "--trainer.max_steps", "1000", "--trainer.log_every_n_steps", "1"]
LIMIT = 300.0  # seconds to wait for a first step
LOOK_EVERY = 0.02


def seconds(command: list[str]) -> float:
    """Of a command, from its start to its end.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def make_data(folder: Path, share: float) -> None:
    """Draws a share of the playground's data where its stages look for them."""
    where = ["--out", str(folder / "runs" / "playground" / "data"), "--scale", str(share)]
    subprocess.run(
        [sys.executable, "-m", "worlds.playground.shards", *where],
        check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def first_step(folder: Path, name: str, command: list[str]) -> float:
    """Seconds until a run has written down its first step; it is ended then.

    Raises:
        RuntimeError: it ended before, or took too long.
    """
    metrics = folder / "runs" / name / "metrics.csv"
    start = time.perf_counter()
    with open(folder / f"{name}.log", "w", encoding="utf-8") as log:
        run = subprocess.Popen([*command, "--name", name], cwd=folder, stdout=log, stderr=log)
        try:
            while not _has_a_row(metrics):
                if run.poll() is not None or time.perf_counter() - start > LIMIT:
                    said = Path(log.name).read_text(encoding="utf-8").strip().splitlines()
                    raise RuntimeError(f"no first step: {said[-1] if said else 'not a word'}")
                time.sleep(LOOK_EVERY)
            return time.perf_counter() - start
        finally:
            run.kill()
            run.wait()


def _has_a_row(metrics: Path) -> bool:
    return metrics.is_file() and metrics.read_text(encoding="utf-8").count("\n") > 1


def measure(rounds: int, share: float) -> dict[str, Any]:
    """Both figures."""
    seconds(HELP), seconds(IMPORT)  # what is read from the disk is there afterwards
    bare, helped = in_turn(lambda: seconds(IMPORT), lambda: seconds(HELP), rounds)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_data(folder, share)
        firsts = [first_step(folder, f"run{number}", [*TRAIN, *STAGE]) for number in range(rounds)]
    return {
        **over([our / their for their, our in zip(bare, helped, strict=True)], "help_over_import"),
        "help_seconds": round(statistics.median(helped), 2),
        "import_seconds": round(statistics.median(bare), 2),
        "first_step": over(firsts, "seconds", digits=1),
        **made_with("lightning", "jsonargparse"),
    }


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = command("start_up", __doc__)
    parser.add_argument("--share", type=float, default=0.02, help="of the data (default: %(default)s)")
    options = parser.parse_args(arguments)
    show(measure(options.rounds, options.share), options.json)


if __name__ == "__main__":
    main()
