"""Evaluates a model folder: `python -m evals --model DIR --suite playground --out report.json`.

GenEval on its own prompts:

    python -m evals --suite geneval --model DIR --prompts FILE --images DIR --detector DIR --clip DIR

FID of drawings, of MJHQ-30K's prompts, and of reconstructions:

    python -m evals --suite fid --model DIR --prompts FILE --images DIR --real DIR
    python -m evals --suite mjhq --model DIR --images DIR --real MJHQ-30K
    python -m evals --suite rfid --model DIR --images DIR --real DIR

GenAI-Bench, and editing:

    python -m evals --suite genai_bench --model DIR --prompts DIR --images DIR --vlm DIR
    python -m evals --suite emu_edit --model DIR --data DIR --images DIR --clip DIR --dino DIR
"""

import argparse
import json
import logging
import time
from importlib import import_module
from typing import Any

from common.errors import user_errors
from common.folder_lock import lock_folder
from evals.options import build_parser
from models.device import check_device
from models.sampling_options import given_sampling

# The modules of the field's benchmarks: `check` says what the options alone can tell, `run` makes images and scores them.
BENCHMARKS = {
    "geneval": "evals.geneval.command",
    **dict.fromkeys(("fid", "mjhq", "rfid"), "evals.fidelity.command"),
    "genai_bench": "evals.genai_bench.command",
    **dict.fromkeys(("emu_edit", "magicbrush"), "evals.editing.command"),
}
QUICK = {"per_category": 8, "seeds": 1, "samples": 72}


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the suite and writes the report."""
    if options.out.is_dir():
        raise ValueError(f"--out {options.out} is a folder: name a file in it")
    if not options.out.parent.is_dir():
        raise FileNotFoundError(f"--out {options.out}: there is no folder {options.out.parent}")
    if options.images is not None and options.images.exists() and not options.images.is_dir():
        raise ValueError(f"--images {options.images} is a file: name a folder")
    from transformers.utils import logging as transformers_logging

    from common.files import write_text

    check_device(options.device)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    report = _benchmark(options) if options.suite in BENCHMARKS else _playground(options)
    if report:  # of several processes only the first has one
        report |= {"suite": options.suite}
        write_text(options.out, json.dumps(report, indent=1) + "\n")
    return report


def _benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """One of the field's benchmarks; of several processes that torchrun started, all make images and the first scores."""
    from evals.ranks import joined

    start = time.monotonic()
    command = import_module(BENCHMARKS[options.suite])
    command.check(options)
    with joined() as ranks, lock_folder(options.images, here=ranks.first):
        report = command.run(options, ranks)
    return report | {"seconds": round(time.monotonic() - start, 1)} if report else {}


def _playground(options: argparse.Namespace) -> dict[str, Any]:
    from evals.playground.suite import VERSION, playground_suite
    from models.unified import Illume

    given = {name: getattr(options, name) for name in QUICK if getattr(options, name) is not None}
    settings = (QUICK if options.quick else {}) | given | given_sampling(options).given
    settings["edit_sampling"] = given_sampling(options, "edit_").given
    model = Illume.from_pretrained(options.model).to(options.device)
    about = {"images": options.images, "folder": options.model, "inception": options.inception}
    about |= {"assess": options.assess}
    with lock_folder(options.images):
        return playground_suite(model, options.seed, **settings, **about) | {"version": VERSION}


def main(argv: list[str] | None = None) -> None:
    """The command line. A user's error is one line and exit code 2."""
    options = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="evals: %(message)s")
    logging.getLogger("evals").setLevel(logging.INFO)
    with user_errors("evals"):
        report = evaluate(options)
    for name, value in report.items():
        print(f"{name:<40}{value:.4g}" if isinstance(value, float) else f"{name:<40}{value}")


if __name__ == "__main__":
    main()
