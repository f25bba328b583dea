"""Runs the benchmarks, each in a process of its own: `python -m benchmarks [--only NAME ...]`, or `make bench`.

The findings of each are kept as JSON in `docs/results/bench/`, from which `docs/understand/performance.md` is written;
`--report` writes it without running anything. Let nothing else run on the machine.
"""

import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.performance import COST, SUITES, write_performance
from common.errors import Parser, user_errors
from common.files import write_text

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results" / "bench"
PAGE = ROOT / "docs" / "understand" / "performance.md"
PEERS = {  # where the Makefile installs what a benchmark is compared to
    "fidelity": ROOT / ".venv" / "fidelity",
    "quantizer": ROOT / ".venv" / "peers",
    "training": ROOT / ".venv" / "peers",
}


def run(name: str) -> dict[str, Any]:
    """The findings of one benchmark, and when, where and in how long; or why it could not be run.

    Raises:
        subprocess.CalledProcessError: it failed, and not by what its user can mend.
    """
    command = ["-m", f"benchmarks.{name}", "--json"]
    more = ["--svg", str(PAGE.parent / COST)] if name == "cost" else []
    paths = [str(PEERS[name])] if name in PEERS and PEERS[name].is_dir() else []
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, *command, *more],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}, text=True, capture_output=True,
    )  # fmt: skip
    about = {
        "command": "python " + " ".join(command),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}",
    }
    if done.returncode == 2:
        return {**about, "not_run": done.stderr.strip().splitlines()[-1]}
    if done.returncode:
        sys.stderr.write(done.stderr)
        done.check_returncode()
    return {**about, "took_seconds": round(time.monotonic() - start), "found": json.loads(done.stdout)}


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = Parser(prog="benchmarks", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--only", nargs="+", choices=SUITES, default=SUITES, metavar="NAME", help=", ".join(SUITES)
    )
    parser.add_argument(
        "--report", action="store_true", help="write the page of what was kept, and run nothing"
    )
    options = parser.parse_args(argv)
    RESULTS.mkdir(parents=True, exist_ok=True)
    with user_errors("benchmarks"):
        for name in [] if options.report else options.only:
            print(f"benchmarks: {name}", file=sys.stderr, flush=True)
            found = run(name)
            if "not_run" in found:
                print(f"benchmarks: {name} was not run: {found['not_run']}", file=sys.stderr)
            write_text(RESULTS / f"{name}.json", json.dumps(found, indent=1) + "\n")
        write_performance(RESULTS, PAGE)
    print(f"benchmarks: see {PAGE}", file=sys.stderr)


if __name__ == "__main__":
    main()
