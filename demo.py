"""The whole chain on the playground, from scratch to a report: `python demo.py [--scale demo|reference]`.

Shards, language, encoder, tokenizer, detokenizer, stages 1 to 3, evaluation. `reference` is the same chain at length, on
more data, with a stage of edits after it; only the language stage is the demo's. Cut off at any instant, the same
command goes on from there; the report counts all the time that was spent.
"""

import gc
import json
import os
import platform
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from common.errors import Parser, user_errors
from common.files import write_text
from common.folder_lock import FolderLock
from common.json_files import read_object

CONFIGS = Path(__file__).resolve().parent / "configs" / "playground"
STAGES = ("language", "encoder", "tokenizer", "detokenizer", "stage1", "stage2", "stage3")
SHARED, OWN = (
    STAGES[:1],
    STAGES[1:],
)  # stages that a longer chain takes from the demo, and those it trains itself
EVALUATION = {"seed": 0, "per_category": 50, "seeds": 4}
TICK = 5.0  # seconds between two writes of the time, and the most that a kill can lose
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes: what getrusage counts memory in


@dataclass(frozen=True)
class Scale:
    """How large a chain is: its runs, its own stages' configs, the share of the playground's samples, further stages."""

    name: str
    runs: Path
    configs: Path
    shards: float
    more: tuple[str, ...] = ()


DEMO = Scale("demo", Path("runs/playground"), CONFIGS, 0.6)  # where the shared stages are
REFERENCE = Scale("reference", Path("runs/reference"), CONFIGS / "reference", 2.0, ("edits",))
SCALES = {scale.name: scale for scale in (DEMO, REFERENCE)}


def chain(scale: Scale) -> list[tuple[Scale, str]]:
    """The stages in order, each with the scale that it belongs to."""
    return [(DEMO, stage) for stage in SHARED] + [(scale, stage) for stage in (*OWN, *scale.more)]


class Timings:
    """Seconds of each stage and peak memory, kept in a file so that they add up over interruptions.

    Args:
        path: the JSON file. A stage that is done there takes no more time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        known = read_object(path) if path.is_file() else {}
        self.seconds: dict[str, float] = known.get("seconds", {})
        self.done: list[str] = known.get("done", [])
        self.memory: float = known.get("memory_gib", 0.0)

    @contextmanager
    def stage(self, name: str, folder: Path) -> Iterator[None]:
        """Times a stage, anew if its folder is gone; a thread writes the time now and then, for kills come unasked."""
        if not folder.exists():
            self.seconds.pop(name, None)
            self.done = [other for other in self.done if other != name]
        if name in self.done:
            yield
            return
        stopped, start, before = threading.Event(), time.monotonic(), self.seconds.get(name, 0.0)

        def save_now_and_then() -> None:
            running = True
            while running:
                running = not stopped.wait(TICK)
                self.seconds[name] = before + time.monotonic() - start
                self._save()

        thread = threading.Thread(target=save_now_and_then, daemon=True)
        thread.start()
        try:
            yield
            self.done.append(name)
        finally:
            stopped.set()
            thread.join()

    def _save(self) -> None:
        self.memory = max(self.memory, peak_memory())
        content = {"seconds": self.seconds, "done": self.done, "memory_gib": self.memory}
        write_text(self.path, json.dumps(content, indent=1) + "\n")


def peak_memory() -> float:
    """GiB: the peak of this process, and the highest of its finished child processes, together."""
    processes = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(who).ru_maxrss for who in processes) * RSS_UNIT / 2**30


def make_data(scale: Scale) -> None:
    """Draws the playground's shards that are not there yet."""
    from worlds.playground import shards

    shards.main(["--out", str(scale.runs / "data"), "--scale", str(scale.shards)])


def train_stage(scale: Scale, stage: str) -> None:
    """Trains one stage of a scale, or what is left of it."""
    import train

    run = train.main(["--config", str(scale.configs / f"{stage}.yaml")])
    if not run.finished:  # stopped by Ctrl-C, which Lightning may swallow
        raise SystemExit(130)


def evaluate(scale: Scale) -> dict[str, Any]:
    """Scores of the last stage's model, and pictures in runs/.../report; kept for as long as the model is the same."""
    from models.folder_hash import folder_hash

    owner, last = chain(scale)[-1]
    model = owner.runs / last / "model"
    of = {"model": folder_hash(model), **EVALUATION}
    kept = scale.runs / "report" / "scores.json"
    if kept.is_file() and (scores := read_object(kept, allow_nan=True)).get("of") == of:
        return scores["metrics"]
    kept.unlink(missing_ok=True)  # of another model
    from evals.playground.suite import playground_suite
    from evals.settings import PlaygroundSettings
    from models.unified import Illume

    kept.parent.mkdir(parents=True, exist_ok=True)
    metrics = playground_suite(
        Illume.from_pretrained(model), PlaygroundSettings(**EVALUATION), images=kept.parent
    )
    write_text(kept, json.dumps({"of": of, "metrics": metrics}, indent=1) + "\n")
    return metrics


def report(scale: Scale, metrics: dict[str, Any], seconds: dict[str, float], memory: float) -> Path:
    """Writes report.json and report.html; returns the latter's path."""
    from evals.playground.suite import VERSION
    from evals.reports.report import write_report

    circumstances = {
        "suite": "playground",
        "version": VERSION,
        "scale": scale.name,
        "command": f"python demo.py --scale {scale.name}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "memory_gib": round(memory, 2),
        "seconds": round(sum(seconds.values()), 1),
        **{f"seconds/{stage}": round(spent, 1) for stage, spent in seconds.items()},
    }
    named = {("seconds/evals" if key == "seconds" else key): value for key, value in metrics.items()}
    metrics = named | circumstances
    write_text(scale.runs / "report.json", json.dumps(metrics, indent=1) + "\n")
    runs = {stage: owner.runs / stage for owner, stage in chain(scale)}
    return write_report(scale.runs, metrics, runs, scale.runs / "report")


def steps(scale: Scale) -> Iterator[tuple[str, Scale, str, Callable[[], Any]]]:
    """Name, owner, folder and work of each step: a scale's data come before its first stage, the evaluation last."""
    owners: list[Scale] = []
    for owner, stage in chain(scale):
        if owner not in owners:
            owners.append(owner)
            yield "data", owner, "data", partial(make_data, owner)
        yield stage, owner, stage, partial(train_stage, owner, stage)
    yield "evals", scale, "report", partial(evaluate, scale)


def run(scale: Scale) -> Path:
    """The chain, stage by stage; returns the report's path.

    Raises:
        FolderBusy: another process makes the same chain, or one that shares its stages.
    """
    with ExitStack() as locks:
        for runs in dict.fromkeys((DEMO.runs, scale.runs)):
            locks.enter_context(FolderLock(runs))
        timings = {owner: Timings(owner.runs / "timings.json") for owner in (DEMO, scale)}
        seconds: dict[str, float] = {}
        for name, owner, folder, work in steps(scale):
            with timings[owner].stage(name, owner.runs / folder):
                result = work()
                gc.collect()  # the last stage's networks, before the next builds its own
            spent = timings[owner].seconds[name]
            seconds[name] = seconds.get(name, 0.0) + spent
            total = clock(sum(seconds.values()))
            print(f"demo: {name:<12}{clock(spent):>8}   {total:>8} in all", flush=True)
        return report(scale, result, seconds, max(one.memory for one in timings.values()))


def clock(seconds: float) -> str:
    """Seconds as "4:05", or "1:04:05"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def main(argv: list[str] | None = None) -> None:
    """The command line. A user's error is one line and exit code 2."""
    parser = Parser(prog="demo.py", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--scale", choices=tuple(SCALES), default="demo", help="default: %(default)s")
    options = parser.parse_args(argv)
    with user_errors("demo.py"):
        try:
            page = run(SCALES[options.scale])
        except BaseException as stop:
            if isinstance(stop, KeyboardInterrupt) or getattr(stop, "code", None) in (130, 143):
                print("demo: stopped; the same command goes on from here", file=sys.stderr)
            raise
    print(f"demo: the report is {page}")


if __name__ == "__main__":
    main()
