"""Evaluates a model folder: `python -m evals --model DIR --suite playground --out report.json`.

GenEval on its own prompts:

    python -m evals --suite geneval --model DIR --prompts FILE --images DIR --detector DIR --clip DIR

FID of drawings, of MJHQ-30K's prompts, and of reconstructions:

    python -m evals --suite fid --model DIR --prompts FILE --images DIR --real DIR
    python -m evals --suite mjhq --model DIR --images DIR --real MJHQ-30K
    python -m evals --suite rfid --model DIR --images DIR --real DIR
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from explain import Parser, user_errors

# The options that not every suite has.
SUITES = {
    "playground": ("quick", "per_category", "samples", "inception", "assess"),
    "geneval": (
        *("prompts", "detector", "clip", "threshold", "counting_threshold", "overlap", "batch"),
        "per_category",
    ),
    "fid": ("prompts", "batch", "real", "inception", "limit", "features"),
    "mjhq": ("batch", "real", "inception", "limit", "features"),
    "rfid": ("batch", "real", "inception", "limit", "features"),
}
FIDELITY = ("fid", "mjhq", "rfid")
QUICK = {"per_category": 8, "seeds": 1, "samples": 72}


def count(text: str) -> int:
    """An option's type: a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


class SuiteParser(Parser):
    """Refuses options of another suite than the one that was chosen."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses the command line."""
        options = super().parse_args(args, namespace)
        for suite, names in SUITES.items():
            for name in set(names) - set(SUITES[options.suite]):
                if getattr(options, name) not in (None, False):
                    self.error(
                        f"--{name.replace('_', '-')} is an option of --suite {suite}, not of {options.suite}"
                    )
        if options.model is None and options.suite == "playground":
            self.error("the following arguments are required: --model")
        return options


def build_parser() -> SuiteParser:
    """The command line. Sizes that are not given are the suite's own, or those of --quick."""
    parser = SuiteParser(prog="python -m evals", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--model",
        type=Path,
        metavar="DIR",
        help="model folder; geneval, fid and mjhq without it score images that are there",
    )
    parser.add_argument("--suite", choices=tuple(SUITES), default="playground", help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default="report.json", metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="playground: contact sheets; others: where their images are",
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--seeds", type=count, metavar="N", help="images of each GenEval prompt (4)")
    parser.add_argument("--cfg", type=float, help="guidance of GenEval's drawings (1.25)")
    parser.add_argument("--temperature", type=float, help="of GenEval's drawings (0.6)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    _add_playground(parser.add_argument_group("--suite playground"))
    _add_geneval(parser.add_argument_group("--suite geneval (docs/geneval.md)"))
    _add_fidelity(parser.add_argument_group("--suite fid, mjhq and rfid (docs/fid.md)"))
    return parser


def _add_playground(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--quick", action="store_true", help="few samples of everything, to try it out")
    group.add_argument(
        "--per-category", type=count, metavar="N", help="GenEval's prompts of each category (50)"
    )
    group.add_argument(
        "--samples",
        type=count,
        metavar="N",
        help="held-out scenes to reconstruct; questions and edits follow it (600)",
    )
    group.add_argument(
        "--assess", action="store_true", help="has the model assess GenEval's drawings itself as well"
    )


def _add_geneval(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--prompts",
        metavar="FILE",
        help="GenEval's evaluation_metadata.jsonl; or the word playground; fid: a prompt a line",
    )
    group.add_argument(
        "--detector", metavar="DIR", help="Mask2Former, OWLv2 or Grounding DINO; or the word playground"
    )
    group.add_argument("--clip", metavar="DIR", help="CLIP, which tells colours")
    group.add_argument("--threshold", type=float, help="score that a detection must exceed (0.3)")
    group.add_argument("--counting-threshold", type=float, help="the same where objects are counted (0.9)")
    group.add_argument("--overlap", type=float, help="IoU from which two of a class are one (1: never)")
    group.add_argument("--batch", type=count, metavar="N", help="images drawn at once (16)")


def _add_fidelity(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--real",
        type=Path,
        metavar="DIR",
        help="real images: folder, .zip, .tar, statistics; MJHQ-30K's folder",
    )
    group.add_argument(
        "--inception",
        type=Path,
        metavar="FILE",
        help="Inception weights (downloaded); playground: for FID as well",
    )
    group.add_argument("--limit", type=count, metavar="N", help="of so many images (all)")
    group.add_argument("--features", type=Path, metavar="DIR", help="keeps features there, to go on with")


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the suite and writes the report."""
    if options.out.is_dir():
        raise ValueError(f"--out {options.out} is a folder: name a file in it")
    if not options.out.parent.is_dir():
        raise FileNotFoundError(f"--out {options.out}: there is no folder {options.out.parent}")
    if options.images is not None and options.images.exists() and not options.images.is_dir():
        raise ValueError(f"--images {options.images} is a file: name a folder")
    import torch
    from transformers.utils import logging as transformers_logging

    from callbacks.durable import write_text

    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: this machine has no CUDA device; leave it out, or give --device cpu")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    runs = {"geneval": _geneval, "playground": _playground} | dict.fromkeys(FIDELITY, _fidelity)
    report = runs[options.suite](options)
    if report:  # of several processes only the first has one
        report |= {"suite": options.suite}
        write_text(options.out, json.dumps(report, indent=1) + "\n")
    return report


def _fidelity(options: argparse.Namespace) -> dict[str, Any]:
    from evals.fidelity.command import fidelity_suite

    return fidelity_suite(options)


def _geneval(options: argparse.Namespace) -> dict[str, Any]:
    from evals.geneval_benchmark.command import geneval_suite

    return geneval_suite(options)


def _playground(options: argparse.Namespace) -> dict[str, Any]:
    from evals.suite import VERSION, playground_suite
    from models.unified import Illume

    names = (*QUICK, "cfg", "temperature")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    settings = (QUICK if options.quick else {}) | given
    model = Illume.from_pretrained(options.model).to(options.device)
    about = {"images": options.images, "folder": options.model, "inception": options.inception}
    about |= {"assess": options.assess}
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
