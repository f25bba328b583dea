"""Evaluates a model folder, on the playground or on one of the field's benchmarks, and sets reports side by side.

Its commands:

    python -m evals --model DIR --out report.json
    python -m evals --suite geneval --model DIR --prompts FILE --images DIR --detector DIR --clip DIR
    python -m evals --suite fid --model DIR --prompts FILE --images DIR --real DIR
    python -m evals --suite mjhq --model DIR --images DIR --real MJHQ-30K
    python -m evals --suite rfid --model DIR --images DIR --real DIR
    python -m evals --suite genai_bench --model DIR --prompts DIR --images DIR --vlm DIR
    python -m evals --suite emu_edit --model DIR --data DIR --images DIR --clip DIR --dino DIR
    python -m evals compare RUN RUN
    python -m evals table REPORT...
"""

import argparse
import json
import logging
import sys
import time
from importlib import import_module
from typing import Any

from common.errors import user_errors
from common.folder_lock import lock_folder
from evals.options import build_parser, read_settings
from evals.ranks import join_processes
from evals.settings import DrawingSettings, PlaygroundSettings
from models.device import check_device

BENCHMARKS = {
    "geneval": "evals.geneval.benchmark.GenEvalBenchmark",
    "fid": "evals.fidelity.benchmark.FidBenchmark",
    "mjhq": "evals.fidelity.benchmark.MjhqBenchmark",
    "rfid": "evals.fidelity.benchmark.RfidBenchmark",
    "genai_bench": "evals.genai_bench.benchmark.GenAIBenchmark",
    "emu_edit": "evals.editing.benchmark.EmuEditBenchmark",
    "magicbrush": "evals.editing.benchmark.MagicBrushBenchmark",
}
REPORTS = ("compare", "table")  # commands of evals/reports/, as the first argument


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the suite and writes the report. torch is imported once all files and settings have been checked."""
    if options.out.is_dir():
        raise ValueError(f"--out {options.out} is a folder: name a file in it")
    if not options.out.parent.is_dir():
        raise FileNotFoundError(f"--out {options.out}: there is no folder {options.out.parent}")
    if options.images is not None and options.images.exists() and not options.images.is_dir():
        raise ValueError(f"--images {options.images} is a file: name a folder")
    from common.files import write_text
    from evals.benchmark import check_model_folder

    settings = read_settings(options)
    if options.model is not None:
        check_model_folder(options.model)
    settings.check_weights()
    report = (_playground if options.suite == "playground" else _benchmark)(options, settings)
    if report:  # of several processes only the first has one
        report |= {"suite": options.suite}
        write_text(options.out, json.dumps(report, indent=1) + "\n")
    return report


def _benchmark(options: argparse.Namespace, settings: DrawingSettings) -> dict[str, Any]:
    """One of the field's benchmarks; of several processes that torchrun started, all draw and the first scores."""
    from evals.benchmark import run

    start = time.monotonic()
    module, _, name = BENCHMARKS[options.suite].rpartition(".")
    benchmark = getattr(import_module(module), name)(settings, options.images)
    _prepare(options.device)
    with join_processes() as ranks, lock_folder(options.images, here=ranks.first):
        report = run(benchmark, options.model, options.device, ranks)
    return report | {"seconds": round(time.monotonic() - start, 1)} if report else {}


def _playground(options: argparse.Namespace, settings: PlaygroundSettings) -> dict[str, Any]:
    _prepare(options.device)
    from evals.playground.suite import VERSION, playground_suite
    from models.unified import Illume

    model = Illume.from_pretrained(options.model).to(options.device)
    with lock_folder(options.images):
        report = playground_suite(model, settings, options.images, options.model)
    return report | {"version": VERSION}


def _prepare(device: str) -> None:
    """Checks the device, and quiets transformers."""
    check_device(device)
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def main(argv: list[str] | None = None) -> None:
    """The command line. A user's error is one line and exit code 2."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments and arguments[0] in REPORTS:
        import_module(f"evals.reports.{arguments[0]}").main(arguments[1:])
        return
    options = build_parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="evals: %(message)s")
    logging.getLogger("evals").setLevel(logging.INFO)
    with user_errors("evals"):
        report = evaluate(options)
    for name, value in report.items():
        print(f"{name:<40}{value:.4g}" if isinstance(value, float) else f"{name:<40}{value}")


if __name__ == "__main__":
    main()
