"""The whole chain on the playground, from nothing to a report: `python demo.py [--scale demo|reference]`.

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
from pathlib import Path
from typing import Any

from common.errors import Parser, user_errors
from common.files import write_text
from common.folder_lock import FolderLock
from common.json_files import read_object

CONFIGS = Path(__file__).resolve().parent / "configs" / "playground"
STAGES = ("language", "encoder", "tokenizer", "detokenizer", "stage1", "stage2", "stage3")
SHARED, OWN = STAGES[:1], STAGES[1:]  # what a longer chain takes from the demo, and what it trains itself
EVALUATION = {"seed": 0, "per_category": 50, "seeds": 4}
TICK = 5.0  # seconds between two notes of the time, and the most that a kill can lose
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes: what getrusage counts memory in


@dataclass(frozen=True)
class Scale:
    """How large a chain is: its runs, its own stages' configs, the share of the playground's samples, further stages."""

    name: str
    runs: Path
    configs: Path
    shards: float
    more: tuple[str, ...] = ()


SCALES = {
    "demo": Scale("demo", Path("runs/playground"), CONFIGS, 0.6),
    "reference": Scale("reference", Path("runs/reference"), CONFIGS / "reference", 2.0, ("edits",)),
}


DEMO = SCALES["demo"]  # where the shared stages live


def chain(scale: Scale) -> list[tuple[Scale, str]]:
    """The stages in order, each with the scale that it belongs to."""
    if scale is DEMO:
        return [(DEMO, stage) for stage in STAGES]
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
        """Times a stage; one whose folder is gone begins at zero. A thread notes the time, for kills come unasked."""
        if not folder.exists():
            self._forget(name)
        if name in self.done:
            yield
            return
        stop, start, before = threading.Event(), time.monotonic(), self.seconds.get(name, 0.0)

        def note() -> None:
            self.seconds[name] = before + time.monotonic() - start
            self._save()

        def keep_noting() -> None:
            while not stop.wait(TICK):
                note()

        ticker = threading.Thread(target=keep_noting, daemon=True)
        ticker.start()
        try:
            yield
            self.done.append(name)
        finally:
            stop.set()
            ticker.join()
            note()

    def _forget(self, name: str) -> None:
        self.seconds.pop(name, None)
        self.done = [other for other in self.done if other != name]

    def _save(self) -> None:
        self.memory = max(self.memory, peak_memory())
        notes = {"seconds": self.seconds, "done": self.done, "memory_gib": self.memory}
        write_text(self.path, json.dumps(notes, indent=1) + "\n")


def peak_memory() -> float:
    """GiB: the most this process had, and the most that any one of its finished helpers had, together."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(who).ru_maxrss for who in whose) * RSS_UNIT / 2**30


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
    metrics = {
        ("seconds/evals" if key == "seconds" else key): value for key, value in metrics.items()
    } | circumstances
    write_text(scale.runs / "report.json", json.dumps(metrics, indent=1) + "\n")
    runs = {stage: owner.runs / stage for owner, stage in chain(scale)}
    return write_report(scale.runs, metrics, runs, scale.runs / "report")


def run(scale: Scale) -> Path:
    """The chain, stage by stage; returns the report's path.

    Raises:
        FolderBusy: another process makes the same chain, or one that shares its stages.
    """
    with ExitStack() as locks:
        for runs in dict.fromkeys((DEMO.runs, scale.runs)):
            locks.enter_context(FolderLock(runs))
        return _run(scale)


def _run(scale: Scale) -> Path:
    notes = {owner.name: Timings(owner.runs / "timings.json") for owner in (DEMO, scale)}
    seconds: dict[str, float] = {}

    def timed(name: str, owner: Scale, folder: str, work: Callable[[], Any]) -> Any:
        timings = notes[owner.name]
        with timings.stage(name, owner.runs / folder):
            result = work()
            gc.collect()  # the last stage's networks, before the next builds its own
        seconds[name] = seconds.get(name, 0.0) + timings.seconds[name]
        spent = f"{clock(timings.seconds[name]):>8}   {clock(sum(seconds.values())):>8} in all"
        print(f"demo: {name:<12}{spent}", flush=True)
        return result

    timed("data", DEMO, "data", lambda: make_data(DEMO))
    for owner, stage in chain(scale):
        if owner is not DEMO and stage == OWN[0]:
            timed("data", owner, "data", lambda owner=owner: make_data(owner))
        timed(stage, owner, stage, lambda owner=owner, stage=stage: train_stage(owner, stage))
    metrics = timed("evals", scale, "report", lambda: evaluate(scale))
    return report(scale, metrics, seconds, max(timings.memory for timings in notes.values()))


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
