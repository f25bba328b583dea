"""The options of `python -m evals`: which suites there are, and which of them has which option."""

import argparse
from typing import Any

from common.errors import Parser
from common.paths import path_or_name, user_path
from models.device import DEVICES
from models.sampling_options import NAMES, add_sampling

# The options that not every suite has.
MADE = ("batch", "limit")
REAL = ("real", "inception", "features")
EDITS = ("data", "clip", "dino")
SUITES = {
    "playground": (
        *("quick", "per_category", "samples", "inception", "assess", "seeds"),
        *(f"edit_{name}" for name in NAMES),
    ),
    "geneval": (
        *("prompts", "detector", "clip", "threshold", "counting_threshold", "overlap", "batch"),
        *("per_category", "seeds", "limit"),
    ),
    "fid": ("prompts", *REAL, *MADE),
    "mjhq": (*REAL, *MADE),
    "rfid": (*REAL, *MADE),
    "genai_bench": ("prompts", "vlm", "vlm_tokenizer", "per_category", *MADE),
    "emu_edit": (*EDITS, "split", *MADE),
    "magicbrush": (*EDITS, "multi_turn", *MADE),
}


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
                value = getattr(options, name)  # 0 is said, too
                if value is not None and value is not False:
                    self.error(
                        f"--{name.replace('_', '-')} is an option of --suite {suite}, not of {options.suite}"
                    )
        if options.model is None and options.suite == "playground":
            self.error("the following arguments are required: --model")
        return options


def build_parser() -> SuiteParser:
    """The command line. Sizes that are not given are the suite's own, or those of --quick."""
    parser = SuiteParser(
        prog="python -m evals", description="Evaluates a model folder, or images.", allow_abbrev=False
    )
    parser.add_argument(
        "--model",
        type=user_path,
        metavar="DIR",
        help="model folder; without it, all but playground and rfid score images that are there",
    )
    parser.add_argument("--suite", choices=tuple(SUITES), default="playground", help="default: %(default)s")
    parser.add_argument(
        "--out", type=user_path, default="report.json", metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument(
        "--images",
        type=user_path,
        metavar="DIR",
        help="playground: contact sheets; others: where their images are",
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="default: %(default)s")
    sampling = parser.add_argument_group("how images are drawn; the report says how they were")
    add_sampling(sampling, "drawings, or of edits in emu_edit and magicbrush")
    _add_shared(parser.add_argument_group("several suites"))
    _add_playground(parser.add_argument_group("--suite playground"))
    _add_geneval(parser.add_argument_group("--suite geneval (docs/use/geneval.md)"))
    _add_fidelity(parser.add_argument_group("--suite fid, mjhq and rfid (docs/use/fidelity.md)"))
    _add_genai(parser.add_argument_group("--suite genai_bench (docs/use/genai_bench.md)"))
    _add_editing(parser.add_argument_group("--suite emu_edit and magicbrush (docs/use/editing.md)"))
    return parser


def _add_shared(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--prompts",
        type=path_or_name,
        metavar="FILE",
        help="geneval: its evaluation_metadata.jsonl; genai_bench: its folder; both: or the word playground; "
        "fid: a prompt a line",
    )
    group.add_argument(
        "--per-category", type=count, metavar="N", help="the playground's prompts of each category (50)"
    )
    group.add_argument("--seeds", type=count, metavar="N", help="images of each GenEval prompt (4)")
    group.add_argument("--batch", type=count, metavar="N", help="images made at once (16)")
    group.add_argument(
        "--limit", type=count, metavar="N", help="of so many images, GenEval prompts or sessions (all)"
    )
    group.add_argument(
        "--clip", type=path_or_name, metavar="DIR", help="CLIP: of GenEval's colours, of edits"
    )
    group.add_argument(
        "--inception",
        type=user_path,
        metavar="FILE",
        help="Inception weights (downloaded); playground: for FID as well",
    )


def _add_playground(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--quick", action="store_true", help="few samples of everything, to try it out")
    group.add_argument(
        "--samples",
        type=count,
        metavar="N",
        help="held-out scenes to reconstruct; questions and edits follow it (600)",
    )
    add_sampling(group, "edits", "edit-")
    group.add_argument(
        "--assess", action="store_true", help="has the model assess GenEval's drawings itself as well"
    )


def _add_geneval(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--detector",
        type=path_or_name,
        metavar="DIR",
        help="Mask2Former, OWLv2 or Grounding DINO; or the word playground",
    )
    group.add_argument("--threshold", type=float, help="score that a detection must exceed (0.3)")
    group.add_argument("--counting-threshold", type=float, help="the same where objects are counted (0.9)")
    group.add_argument("--overlap", type=float, help="IoU from which two of a class are one (1: never)")


def _add_fidelity(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--real",
        type=user_path,
        metavar="DIR",
        help="real images: folder, .zip, .tar, statistics; MJHQ-30K's folder",
    )
    group.add_argument(
        "--features", type=user_path, metavar="DIR", help="keeps features there, to go on with"
    )


def _add_genai(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--vlm",
        type=path_or_name,
        metavar="DIR",
        help="who says what an image shows: CLIP-FlanT5 or any that answers questions; or the word playground",
    )
    group.add_argument(
        "--vlm-tokenizer",
        type=path_or_name,
        metavar="DIR",
        help="CLIP-FlanT5's, which is its T5's: google/flan-t5-xxl",
    )


def _add_editing(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--data", type=path_or_name, metavar="DIR", help="the benchmark's folder")
    group.add_argument(
        "--dino", type=path_or_name, metavar="DIR", help="DINO or DINOv2, best facebook/dino-vits16"
    )
    group.add_argument("--split", choices=("test", "validation"), help="of Emu Edit (test)")
    group.add_argument(
        "--multi-turn", action="store_true", help="MagicBrush's sessions of several turns as well"
    )
