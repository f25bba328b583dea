"""Checks what only a GPU can show, in ten minutes: `python -m benchmarks.gpu_check`.

    python -m benchmarks.gpu_check --out gpu_check.jsonl             a CUDA device, at 1B and 7B
    python -m benchmarks.gpu_check --device cpu --size tiny          the same checks, as far as a CPU can go

Weights are random and nothing is downloaded. Each check is a process of its own and prints one line of JSON when it
ends, so a run that is cut off keeps what it has; what fails, hangs or breaks the device is a line too, and the next one
begins.
`ok` is null where a device cannot say. The exit code is 1 where a check is not ok.
"""

import argparse
import json
import multiprocessing
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO

from benchmarks import gpu_checks
from benchmarks.gpu_models import SIZES, Setting
from common.errors import Parser, user_errors
from common.paths import user_path

SECONDS = 570  # of the ten minutes that a run may take; the rest is start and end
MAX_SECONDS = 180  # of one check
Check = Callable[[Setting], dict[str, Any]]


def run(names: list[str], sizes: list[str], device: str, seconds: float) -> Iterator[dict[str, Any]]:
    """Yields the findings of each check as it ends, or that no time is left for it."""
    end = time.monotonic() + seconds
    for name in names:
        check: Check = gpu_checks.CHECKS[name]
        for size in sizes if name in gpu_checks.OF_SIZE else sizes[:1]:
            about = {"check": name, "size": size, "device": device}
            left = end - time.monotonic()
            yield about | (
                run_isolated(check, Setting(size, device), min(MAX_SECONDS, left)) if left > 1 else NO_TIME
            )


NO_TIME = {"ok": None, "skipped": "no time is left: give --seconds, or --only"}


def run_isolated(check: Check, setting: Setting, seconds: float) -> dict[str, Any]:
    """A check's findings from a process of its own, or how it failed, hung or died."""
    context = multiprocessing.get_context(
        "fork"
    )  # so that nothing is imported again; CUDA begins in the child
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(check, setting, there))
    start = time.monotonic()
    process.start()
    there.close()
    try:
        found = here.recv() if here.poll(seconds) else {"ok": False, "error": f"not done in {seconds:.0f} s"}
    except EOFError:
        process.join()
        found = {"ok": False, "error": f"its process ended with {process.exitcode}"}
    process.kill()
    process.join()
    return found | {"seconds": round(time.monotonic() - start, 2)}


def _work(check: Check, setting: Setting, there: Connection) -> None:
    try:
        there.send(check(setting))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {str(error)[:500]}"
        there.send({"ok": False, "error": message, "at": f"{Path(where.filename).name}:{where.lineno}"})


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = Parser(
        prog="python -m benchmarks.gpu_check", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--device", default="cuda", help="default: %(default)s")
    parser.add_argument("--size", nargs="+", choices=tuple(SIZES), default=["1b", "7b"])
    parser.add_argument("--only", nargs="+", choices=tuple(gpu_checks.CHECKS), metavar="NAME",
                        help=f"of {', '.join(gpu_checks.CHECKS)}")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=SECONDS, help="in all (default: %(default)s)")
    parser.add_argument("--out", type=user_path, help="file that gets the lines as well")
    options = parser.parse_args(arguments)
    with user_errors("gpu_check"):
        good = _run(options)
    if not good:
        raise SystemExit(1)


def _run(options: argparse.Namespace) -> bool:
    """Prints and writes the lines; returns whether none is of a check that is not ok."""
    if options.seconds <= 0:
        raise ValueError(f"--seconds {options.seconds}: give more than 0")
    log: TextIO | None = None if options.out is None else options.out.open("a", encoding="utf-8")
    counts = {True: 0, False: 0, None: 0}
    lines = run(options.only or list(gpu_checks.CHECKS), options.size, options.device, options.seconds)
    for found in lines:
        counts[found["ok"]] += 1
        _write(found, log)
    _write({"check": "all", "ok": not counts[False], "good": counts[True], "bad": counts[False],
          "unknown": counts[None]}, log)  # fmt: skip
    return not counts[False]


def _write(found: dict[str, Any], log: TextIO | None) -> None:
    line = json.dumps(found)
    for out in filter(None, (sys.stdout, log)):
        print(line, file=out, flush=True)


if __name__ == "__main__":
    main()
