"""Evaluates a model folder: `python -m evals --model DIR --suite playground --out report.json`."""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from explain import Parser, user_errors

SUITES = ("playground",)
QUICK = {"per_category": 8, "seeds": 1, "samples": 72}


def count(text: str) -> int:
    """An option's type: a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def build_parser() -> Parser:
    """The command line. Sizes that are not given are the suite's own, or those of --quick."""
    parser = Parser(prog="python -m evals", description=__doc__, allow_abbrev=False)
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="model folder")
    parser.add_argument("--suite", choices=SUITES, default=SUITES[0], help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default="report.json", metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="write contact sheets there")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few samples of everything, to try it out")
    for name, meaning in (
        ("per-category", "GenEval's prompts of each category (50)"),
        ("seeds", "images of each prompt (4)"),
        ("samples", "held-out scenes to reconstruct; questions and edits follow it (600)"),
    ):
        parser.add_argument(f"--{name}", type=count, metavar="N", help=meaning)
    parser.add_argument("--cfg", type=float, help="guidance of GenEval's drawings (1.25)")
    parser.add_argument("--temperature", type=float, help="of GenEval's drawings (0.6)")
    parser.add_argument("--inception", type=Path, metavar="FILE", help="Inception weights, for FID as well")
    parser.add_argument(
        "--assess", action="store_true", help="has the model assess GenEval's drawings itself as well"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    return parser


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Loads the model, runs the suite and writes the report."""
    if options.out.is_dir():
        raise ValueError(f"--out {options.out} is a folder: name a file in it")
    if not options.out.parent.is_dir():
        raise FileNotFoundError(f"--out {options.out}: there is no folder {options.out.parent}")
    if options.images is not None and options.images.exists() and not options.images.is_dir():
        raise ValueError(f"--images {options.images} is a file: name a folder")
    import torch
    from transformers.utils import logging as transformers_logging

    from callbacks.durable import write_text
    from evals.suite import playground_suite
    from models.unified import Illume

    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: this machine has no CUDA device; leave it out, or give --device cpu")
    transformers_logging.set_verbosity_error()
    names = (*QUICK, "cfg", "temperature")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    settings = (QUICK if options.quick else {}) | given
    model = Illume.from_pretrained(options.model).to(options.device)
    about = {"images": options.images, "folder": options.model, "inception": options.inception}
    about |= {"assess": options.assess}
    report = playground_suite(model, options.seed, **settings, **about) | {"suite": options.suite}
    write_text(options.out, json.dumps(report, indent=1) + "\n")
    return report


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
