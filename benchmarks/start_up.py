"""Seconds until a command shows a first sign of life: `python -m benchmarks.start_up [--json]`.

`train.py --help` beside `import lightning.pytorch.cli`, which it cannot do without, in processes of their own; and the
seconds from the command to the first step of the playground's first stage, on data that are there.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import alternate, median_of, run

ROOT = Path(__file__).resolve().parent.parent
TRAIN = [sys.executable, str(ROOT / "train.py")]
HELP = [*TRAIN, "--help"]
IMPORT = [sys.executable, "-c", "import lightning.pytorch.cli"]
STAGE = ["--config", "language.yaml", "--trainer.max_steps", "1000", "--trainer.log_every_n_steps", "1"]
MAX_SECONDS = 300.0  # to wait for a first step
POLL_SECONDS = 0.02


def quietly(command: list[str]) -> None:
    """Runs a command to its end.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_data(folder: Path, share: float) -> None:
    """Draws a share of the playground's data where its stages look for them."""
    where = ["--out", str(folder / "runs" / "playground" / "data"), "--scale", str(share)]
    quietly([sys.executable, "-m", "worlds.playground.shards", *where])


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
                if run.poll() is not None or time.perf_counter() - start > MAX_SECONDS:
                    lines = Path(log.name).read_text(encoding="utf-8").strip().splitlines()
                    raise RuntimeError(f"no first step: {lines[-1] if lines else 'no output'}")
                time.sleep(POLL_SECONDS)
            return time.perf_counter() - start
        finally:
            run.kill()
            run.wait()


def _has_a_row(metrics: Path) -> bool:
    return metrics.is_file() and metrics.read_text(encoding="utf-8").count("\n") > 1


def measure(rounds: int = 5, share: float = 0.02) -> dict[str, Any]:
    """Measures both.

    Args:
        rounds: of each.
        share: of the playground's data.
    """
    quietly(HELP), quietly(IMPORT)  # what is read from the disk is cached afterwards
    pairs = alternate(lambda: quietly(IMPORT), lambda: quietly(HELP), rounds)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_data(folder, share)
        firsts = [first_step(folder, f"run{number}", [*TRAIN, *STAGE]) for number in range(rounds)]
    return {
        **pairs.cost("help_over_import"),
        "help_seconds": round(pairs.our_median, 2),
        "import_seconds": round(pairs.their_median, 2),
        "first_step": median_of(firsts, "seconds", digits=1),
    }


if __name__ == "__main__":
    run(measure, "lightning", "jsonargparse")
