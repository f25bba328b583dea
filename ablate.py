"""Runs an ablation: every arm with every seed, evaluated and compared: `python ablate.py ablations/joint.yaml`.

An ablation is a YAML file in configs/ that names its arms, each a config of `train.py`; the first is what the others are
held against. Cut off at any instant, the same command goes on from there: runs resume, and what is measured stays so.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

from callbacks.durable import write_text
from evals.arms import MOST_SEEDS, Runs, gains, summary, table
from explain import Parser, user_errors
from models.model_folder import folder_hash
from train import CONFIGS, find_config

ROOT = Path(__file__).resolve().parent
PUBLISHED = ROOT / "evals" / "published.json"
SHOWN = {
    "geneval/overall": "GenEval",
    "vqa/accuracy": "VQA",
    "editing/accuracy": "edits",
    "assessment/readable": "assessments",
    "assessment/balanced_accuracy": "balanced accuracy",
    "best_of/own": "best by itself",
    "best_of/judge": "best by the judge",
}
IN_PAPER = {
    "geneval/overall": "GenEval",
    "genai": "GenAI",
    "pope": "POPE",
    "mme_p": "MME-P",
    "mmbench": "MMBench",
}
IN_PAPER |= {"seed_bench": "SEED", "gqa": "GQA", "mm_vet": "MM-Vet", "mmmu": "MMMU"}


@dataclass(frozen=True)
class Ablation:
    """What an ablation's YAML says.

    Attributes:
        arms: name and config of each; the first is the baseline.
        of: the arm whose gain over the baseline is the result.
        seeds: fixed beforehand; every arm runs with each.
        evals: options of `python -m evals`, as {"per-category": 50}; true stands for an option without a value.
        paper: the section of evals/published.json that holds the paper's own table.
    """

    arms: dict[str, str]
    of: str
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    evals: dict[str, Any] = field(default_factory=dict)
    paper: str = ""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(arm, other) that are compared: each with every one before it."""
        return [(later, earlier) for earlier, later in combinations(self.arms, 2)]


def read_ablation(path: Path) -> Ablation:
    """Reads the YAML.

    Raises:
        ValueError: it is no ablation; says what is wrong.
        FileNotFoundError: an arm names a config that is not there.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not isinstance(content.get("arms"), dict) or len(content["arms"]) < 2:
        raise ValueError(f"{path} is no ablation: it needs `arms:`, two or more, each a name and its config")
    if unknown := set(content) - set(Ablation.__dataclass_fields__):
        known = ", ".join(Ablation.__dataclass_fields__)
        raise ValueError(f"{path} has the key {sorted(unknown)[0]!r}, and there are {known}")
    arms = content["arms"]
    found = Ablation(**{"of": list(arms)[1], **content})
    if found.of not in arms:
        raise ValueError(f"{path}: of is {found.of!r}, which is none of its arms {', '.join(arms)}")
    if found.paper and found.paper not in (papers := json.loads(PUBLISHED.read_text(encoding="utf-8"))):
        raise ValueError(f"{path}: paper is {found.paper!r}, which is no section of {', '.join(papers)}")
    for config in arms.values():
        find_config(config, path.parent, f"an arm in {path.name}")
    return found


class Runner:
    """Trains and measures arms, each step as a process of its own, in runs/NAME/ARM-SEED/.

    Args:
        name: of the ablation.
        evals: options of `python -m evals`.
        threads: of each process.
        runs_dir: where run folders are made.
    """

    def __init__(self, name: str, evals: Mapping[str, Any], threads: int, runs_dir: Path) -> None:
        self.name, self.threads, self.runs_dir = name, threads, runs_dir
        self.running: list[subprocess.Popen[bytes]] = []
        self.words = [w for k, v in evals.items() for w in ([f"--{k}"] if v is True else [f"--{k}", str(v)])]

    def report(self, arm: str, config: Path, seed: int) -> dict[str, float]:
        """The measures of one arm with one seed, made now if they are not there.

        Raises:
            ValueError: a process failed; says why, and where its words are.
        """
        name, start = f"{self.name}/{arm}-{seed}", time.monotonic()
        folder = self.runs_dir / name
        words = ["--seed_everything", str(seed), "--name", name, "--runs_dir", str(self.runs_dir)]
        self._call(folder, "train.py", "--config", str(config), *words, "--trainer.enable_progress_bar=false")
        report, asked = folder / "report.json", folder / "measured.json"
        of = json.dumps([folder_hash(folder / "model"), *self.words])
        if not (report.is_file() and asked.is_file() and asked.read_text(encoding="utf-8") == of):
            model = ("--model", str(folder / "model"))
            self._call(folder, "-m", "evals", *model, "--out", str(report), *self.words)
            write_text(asked, of)
        say(f"{arm}, seed {seed}: {time.monotonic() - start:.0f} s")
        found = json.loads(report.read_text(encoding="utf-8"))
        return {key: float(value) for key, value in found.items() if "/" in key}

    def stop(self) -> None:
        """Ends what is running: a training saves a checkpoint first, from which the same command goes on."""
        for process in list(self.running):
            process.terminate()

    def _call(self, folder: Path, *words: str) -> None:
        log = folder.with_name(f"{folder.name}.log")
        log.parent.mkdir(parents=True, exist_ok=True)
        words = (str(ROOT / words[0]), *words[1:]) if words[0].endswith(".py") else words
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        own = {"OMP_NUM_THREADS": str(self.threads), "PYTHONPATH": path}  # from any folder
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, *words], stdout=out, stderr=out, env={**os.environ, **own}
            )
            self.running.append(process)
            code = process.wait()
            self.running.remove(process)
        if code:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise ValueError(f"{folder.name} failed: {''.join(last)} (all of it is in {log})")


def run(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Runs what is left of an ablation, writes its JSON and returns it."""
    ablation = read_ablation(path)
    if options.out and not options.out.parent.is_dir():
        raise FileNotFoundError(f"--out {options.out}: there is no folder {options.out.parent}")
    seeds = options.seeds or ablation.seeds
    if len(seeds) > MOST_SEEDS or len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds: at most {MOST_SEEDS}, each once")
    name = path.relative_to(CONFIGS).with_suffix("").as_posix() if path.is_relative_to(CONFIGS) else path.stem
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    runner = Runner(name, ablation.evals, threads, options.runs_dir)
    configs = {arm: find_config(config, path.parent) for arm, config in ablation.arms.items()}
    with ThreadPoolExecutor(options.jobs) as pool:
        waiting = {
            (arm, seed): pool.submit(runner.report, arm, configs[arm], seed)
            for seed in seeds
            for arm in configs
        }
        try:
            for done in as_completed(waiting.values()):
                done.result()  # one that failed stops the others at once
            runs: Runs = {arm: {seed: waiting[arm, seed].result() for seed in seeds} for arm in configs}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            runner.stop()
            raise
    record = recorded(ablation, runs, seeds) | {
        "ablation": name,
        "command": "python " + " ".join(["ablate.py", *sys.argv[1:]]),
        "evals": runner.words,
        "threads": threads,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "runs": runs,
    }
    out = options.out or options.runs_dir / f"{name}.json"
    write_text(out, json.dumps(record, indent=1) + "\n")
    print(table(runs, ablation.pairs, SHOWN) + paper_table(ablation.paper), end="")
    say(f"all figures are in {out}")
    return record


def recorded(ablation: Ablation, runs: Runs, seeds: Sequence[int]) -> dict[str, Any]:
    """What the runs say: `geneval_gain_mean` and its like, then means by arm and gains by pair."""
    baseline = next(iter(ablation.arms))
    between = gains(runs, ablation.pairs)
    record: dict[str, Any] = {"seeds": list(seeds), "of": f"{ablation.of} over {baseline}"}
    for short, measure in (("geneval", "geneval/overall"), ("vqa", "vqa/accuracy")):
        if (gain := between[record["of"]].get(measure)) is not None:
            record |= {f"{short}_gain_mean": gain.mean, f"{short}_gain_half_interval": gain.half}
    pairs = {pair: {name: gain._asdict() for name, gain in of.items()} for pair, of in between.items()}
    return record | {"arms": summary(runs), "gains": pairs}


def paper_table(section: str) -> str:
    """The paper's own table, where there is one."""
    if not section:
        return ""
    rows = json.loads(PUBLISHED.read_text(encoding="utf-8"))[section]
    there = [key for key in IN_PAPER if any(key in row for row in rows)]
    lines = [[rows[0]["source"], *(IN_PAPER[key] for key in there)], ["---", *("---:" for _ in there)]]
    lines += [[row["model"], *(str(row.get(key, "")) for key in there)] for row in rows]
    return "\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def say(text: str) -> None:
    """One line to whoever waits."""
    print(f"ablate.py: {text}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """The command line. A user's error is one line and exit code 2."""
    parser = Parser(prog="ablate.py", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("ablation", help="a YAML file in configs/, as ablations/self_enhancement.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: those of the YAML")
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes at once, which share the CPUs (default: 1)"
    )
    parser.add_argument("--out", type=Path, help="JSON of all figures (default: beside the runs)")
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"), help="default: runs")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with user_errors("ablate.py"):
        if options.jobs < 1:
            raise ValueError(f"--jobs {options.jobs}: must be at least 1")
        return run(find_config(options.ablation, Path.cwd(), "the command line"), options)


if __name__ == "__main__":
    main()
