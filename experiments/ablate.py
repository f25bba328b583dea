"""Runs an ablation: every arm with every seed, evaluated and compared.

`python -m experiments.ablate ablations/joint.yaml`.

An ablation is a YAML file in configs/ that names its arms, each a config of `train.py`. Killed at any instant, the same
command goes on from there: runs resume, and what was evaluated is kept.
"""

import argparse
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.errors import Parser, user_errors
from common.files import write_text
from common.json_files import read_object
from common.markdown import markdown_table
from common.paths import user_path
from evals.options import build_parser
from experiments.ablation_recipe import PUBLISHED, Ablation, check_seeds, read_ablation
from experiments.paired_statistics import Runs, column, gains, paired_gain, summary, table
from experiments.processes import RunProcess, exit_on_sigterm, run_lock
from models.folder_hash import folder_hash
from training.configs import CONFIGS, find_config

HEADINGS = {
    "geneval/overall": "GenEval",
    "vqa/accuracy": "VQA",
    "editing/accuracy": "edits",
    "assessment/readable": "assessments",
    "assessment/balanced_accuracy": "balanced accuracy",
    "best_of/first": "first of 4",
    "best_of/own": "best by itself",
    "best_of/judge": "best by the judge",
}
PAPER_HEADINGS = {
    "geneval/overall": "GenEval",
    "genai": "GenAI",
    "pope": "POPE",
    "mme_p": "MME-P",
    "mmbench": "MMBench",
    "seed_bench": "SEED",
    "gqa": "GQA",
    "mm_vet": "MM-Vet",
    "mmmu": "MMMU",
}


class Runner:
    """Trains and evaluates arms, each step as a process of its own, in runs/NAME/ARM-SEED/.

    Args:
        name: of the ablation.
        evals: options of `python -m evals`.
        threads: of each process.
        runs_dir: where run folders are made.
    """

    def __init__(self, name: str, evals: Sequence[str], threads: int, runs_dir: Path) -> None:
        self.name, self.evals, self.threads, self.runs_dir = name, list(evals), threads, runs_dir
        self._lock, self._stopped = threading.Lock(), False
        self._running: set[RunProcess] = set()

    def report(self, arm: str, config: Path, seed: int) -> dict[str, float]:
        """The measures of one arm with one seed, of a new run or of one that is there.

        Raises:
            ValueError: a process failed; the message says why, and where its output is.
        """
        name, start = f"{self.name}/{arm}-{seed}", time.monotonic()
        folder = self.runs_dir / name
        report, about = folder / "report.json", folder / "measured.json"
        training = ["--seed_everything", str(seed), "--name", name, "--runs_dir", str(self.runs_dir)]
        training += ["--trainer.enable_progress_bar=false"]
        folder.parent.mkdir(parents=True, exist_ok=True)
        with run_lock(folder) as lock:
            self._call(folder, lock, "train.py", "--config", str(config), *training)
            of = [folder_hash(folder / "model"), *self.evals]
            done = report.is_file() and about.is_file()
            if not done or read_object(about, allow_nan=True).get("of") != of:
                about.unlink(missing_ok=True)  # it is of another model, or of other options
                model = ("--model", str(folder / "model"))
                self._call(folder, lock, "-m", "evals", *model, "--out", str(report), *self.evals)
                circumstances = {
                    "threads": self.threads,
                    "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
                    "date": datetime.now(UTC).strftime("%Y-%m-%d"),
                }
                write_text(about, json.dumps({"of": of, **circumstances}) + "\n")
            found = read_object(report, allow_nan=True)
        print_line(f"{arm}, seed {seed}: {time.monotonic() - start:.0f} s")
        return {key: float(value) for key, value in found.items() if "/" in key}

    def origin(self, arm: str, seed: int) -> dict[str, Any]:
        """How a run came about: threads, machine, date, and hashes of the weights that it began with."""
        folder = self.runs_dir / f"{self.name}/{arm}-{seed}"
        about = read_object(folder / "measured.json", allow_nan=True)
        kept = sorted(folder.glob("predecessors/*/weights.json"))
        began = {path.parent.name: read_object(path)["hash"] for path in kept}
        return {key: value for key, value in about.items() if key != "of"} | {"began": began}

    def stop(self) -> None:
        """Stops what is running: a training saves a checkpoint first, from which the same command goes on."""
        with self._lock:
            self._stopped = True
            for run in self._running:
                run.process.terminate()

    def _call(self, folder: Path, lock: tuple[int, ...], *arguments: str) -> None:
        with self._lock:
            if self._stopped:
                raise ValueError("the ablation was stopped")
            run = RunProcess(folder, lock, arguments, self.threads)
            self._running.add(run)
        run.process.wait()
        with self._lock:
            self._running.discard(run)
        if failure := run.failure():
            raise ValueError(failure)


def run(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Runs what is left of an ablation, writes its JSON and returns it."""
    ablation = read_ablation(path)
    build_parser().parse_args(["--model", "x", *ablation.options])  # exits where `python -m evals` would
    configs = {arm: find_config(c, path.parent, f"an arm in {path.name}") for arm, c in ablation.arms.items()}
    seeds = options.seeds or ablation.seeds
    check_seeds(seeds, "--seeds")
    name = path.relative_to(CONFIGS).with_suffix("").as_posix() if path.is_relative_to(CONFIGS) else path.stem
    out = options.out or options.runs_dir / f"{name}.json"
    if out.is_dir() or (options.out and not out.parent.is_dir()):
        raise ValueError(f"--out {out}: name a file, in a folder that is there")
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    runner = Runner(name, ablation.options, threads, options.runs_dir)
    runs = _run_all(ablation, configs, runner, seeds, options.jobs)
    record = summarize(ablation, runs, seeds) | {
        "ablation": name,
        "command": "python " + " ".join(["-m experiments.ablate", *sys.argv[1:]]),
        "evals": runner.evals,
        "origins": _origins(runner, runs),
        "runs": runs,
    }
    write_text(out, json.dumps(record, indent=1) + "\n")
    print(table(runs, ablation.pairs, HEADINGS) + paper_table(ablation.paper), end="")
    print_line(f"all figures are in {out}")
    return record


def _run_all(
    ablation: Ablation, configs: Mapping[str, Path], runner: Runner, seeds: Sequence[int], jobs: int
) -> Runs:
    """Every arm with every seed; the first that fails stops the others."""
    with ThreadPoolExecutor(jobs) as pool:
        try:
            futures = {
                (arm, seed): pool.submit(runner.report, arm, config, seed)
                for seed in seeds
                for arm, config in configs.items()
            }
            for done in as_completed(futures.values()):
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            runner.stop()
            raise
    return {arm: {seed: ablation.keep(arm, futures[arm, seed].result()) for seed in seeds} for arm in configs}


def _origins(runner: Runner, runs: Runs) -> dict[str, dict[int, dict[str, Any]]]:
    """How each run came about.

    Raises:
        ValueError: two began with different weights under one name, and cannot be compared.
    """
    origins = {arm: {seed: runner.origin(arm, seed) for seed in by_seed} for arm, by_seed in runs.items()}
    began: dict[str, str] = {}
    for arm, by_seed in origins.items():
        for seed, origin in by_seed.items():
            for name, weights in origin["began"].items():
                if began.setdefault(name, weights) != weights:
                    raise ValueError(
                        f"{arm}-{seed} began with other weights of {name} than the runs before it: remove the older runs"
                    )
    return origins


def summarize(ablation: Ablation, runs: Runs, seeds: Sequence[int]) -> dict[str, Any]:
    """The result of all runs: `geneval_gain_mean` and its like, then means by arm and gains by pair."""
    record: dict[str, Any] = {"seeds": list(seeds), "gain_of": ablation.gain_of}
    for short, measure in (("geneval", "geneval/overall"), ("vqa", "vqa/accuracy")):
        columns = {arm: values for arm in runs if (values := column(runs, arm, measure))}
        mine = columns.pop(ablation.gain_of, None)
        if mine and columns:
            other = next(iter(columns))
            gain = paired_gain(mine, columns[other])
            record |= {
                f"{short}_gain_over": other,
                f"{short}_gain_mean": gain.mean,
                f"{short}_gain_half_interval": gain.half,
            }
    pairs = {
        pair: {name: gain._asdict() for name, gain in by_measure.items()}
        for pair, by_measure in gains(runs, ablation.pairs).items()
    }
    return record | {"arms": summary(runs), "gains": pairs}


def paper_table(section: str) -> str:
    """The paper's own table, where there is one."""
    if not section:
        return ""
    rows = read_object(PUBLISHED)[section]
    keys = [key for key in PAPER_HEADINGS if any(key in row for row in rows)]
    heading = [rows[0]["source"], *(PAPER_HEADINGS[key] for key in keys)]
    return "\n" + markdown_table(
        [heading, *([r["model"], *(str(r.get(key, "")) for key in keys)] for r in rows)]
    )


def print_line(text: str) -> None:
    """Prints a line for whoever waits."""
    print(f"ablate: {text}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """The command line. A user's error is one line and exit code 2."""
    parser = Parser(
        prog="python -m experiments.ablate", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("ablation", help="a YAML file in configs/, as ablations/self_enhancement.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: those of the YAML")
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes at once, which share the CPUs (default: 1)"
    )
    parser.add_argument("--out", type=user_path, help="JSON of all figures (default: beside the runs)")
    parser.add_argument("--runs_dir", type=user_path, default=Path("runs"), help="default: runs")
    options = parser.parse_args(arguments)
    with user_errors("ablate"), exit_on_sigterm():
        if options.jobs < 1:
            raise ValueError(f"--jobs {options.jobs}: must be at least 1")
        return run(find_config(options.ablation, Path.cwd(), "the command line"), options)


if __name__ == "__main__":
    main()
