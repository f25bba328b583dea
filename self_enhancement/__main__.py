"""One round of self-enhancement as shards: `python -m self_enhancement --model DIR --prompts SHARDS --out DIR`.

python -m self_enhancement --model pretrained/playground --prompts runs/playground/data/pairs --out runs/round1
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_type_hints

from common.errors import Parser, user_errors
from common.folder_lock import FolderLock
from evals.options import add_option
from evals.settings import option
from models.device import check_device
from models.sampling_options import add_sampling, given_sampling
from self_enhancement.settings import RoundSettings


@dataclass(frozen=True)
class CommandOptions:
    """What the command line has beside the settings of a round."""

    model: Path = option("model folder", required=True)
    out: Path = option("the round's folder", required=True)
    judge: str = option(
        "scene, self or a YAML file of class_path and init_args (scene)", "scene", metavar="JUDGE"
    )
    device: str = option("cpu, cuda, cuda:1, npu (cpu)", "cpu", metavar="DEVICE")
    batch: int = option("most drawings at once, as memory allows (100)", 100)
    sequence_length: int | None = option("tokens of a training row (the model's context)", None)


def build_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m self_enhancement", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    for kind in (CommandOptions, RoundSettings):
        for one in fields(kind):
            if one.name != "sampling":
                add_option(parser, one, get_type_hints(kind)[one.name], one.metadata["help"], one.default)
    add_sampling(parser)
    return parser


def run(options: argparse.Namespace) -> None:
    """Makes one round, or what is left of it."""
    given = {one.name: getattr(options, one.name) for one in fields(RoundSettings) if one.name != "sampling"}
    settings = RoundSettings(**given, sampling=given_sampling(options))
    check_device(options.device)
    from evals.playground.suite import NEEDS
    from judges.judge_config import read_judge
    from models.folder_hash import folder_hash
    from models.unified import Illume
    from self_enhancement.loop import SELF_ASSESSMENTS, token_counter
    from self_enhancement.report import write_enhancement_report
    from self_enhancement.round import Round

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line for each call hides the others
    judge = read_judge(options.judge)
    judge.check()
    model = Illume.from_pretrained(options.model)
    model.require(*NEEDS["geneval"], does="a round")
    model.to(options.device)
    with FolderLock(options.out):
        one = Round(options.out, settings.resolve(model.generation.draw), batch=options.batch)
        one.start(folder_hash(options.model), judge.name, model.prompts)
        one.draw(model)
        judge.set_model(model)
        judge.set_cache(options.out / "opinions")
        one.judge(judge)
        one.self_assess(model, SELF_ASSESSMENTS)
        row = options.sequence_length or model.language.trunk.config.max_position_embeddings
        summary = one.write(token_counter(model.sequencer), row)
        page = write_enhancement_report(options.out, [one.report()], {}, {})
    counts = ", ".join(f"{summary[name]} {name}" for name in ("good", "bad", "unjudged"))
    print(f"{counts} of {summary['drawings']}")
    dialogues = f"{summary['dialogues']} dialogues ({summary['second_turns']} drawn again)"
    print(f"{dialogues} in {options.out / 'shards'}; the report is {page}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. A user's error is one line and exit code 2."""
    options = build_parser().parse_args(arguments)
    with user_errors("self_enhancement"):
        run(options)


if __name__ == "__main__":
    main()
