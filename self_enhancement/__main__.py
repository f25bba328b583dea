"""One round of self-enhancement as shards: `python -m self_enhancement --model DIR --prompts SHARDS --out DIR`.

python -m self_enhancement --model pretrained/playground --prompts runs/playground/data/pairs --out runs/round1
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from common.errors import Parser, user_errors
from common.folder_lock import FolderLock
from common.paths import path_or_name, user_path
from models.device import check_device
from models.sampling_options import add_sampling, given_sampling


def build_parser() -> Parser:
    """The command line."""
    default = "default: %(default)s"
    parser = Parser(
        prog="python -m self_enhancement", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--model", type=user_path, required=True, metavar="DIR", help="model folder")
    parser.add_argument(
        "--prompts", type=path_or_name, nargs="+", required=True, metavar="SHARDS", help="raw pairs to draw"
    )
    parser.add_argument("--out", type=user_path, required=True, metavar="DIR", help="the round's folder")
    judges = "scene, self or a YAML file of class_path and init_args"
    parser.add_argument("--judge", type=path_or_name, default="scene", help=f"{judges} ({default})")
    parser.add_argument("--count", type=int, default=1000, help=f"drawings ({default})")
    parser.add_argument("--draws", type=int, default=1, help=f"of one prompt ({default})")
    parser.add_argument("--target", choices=("truth", "own"), default="truth", help=default)
    parser.add_argument("--form", choices=("dialogue", "pairs"), default="dialogue", help=default)
    parser.add_argument(
        "--bad-share", type=float, help="of bad drawings among dialogues (default: as they come)"
    )
    parser.add_argument(
        "--hard-negatives",
        type=int,
        default=0,
        help=f"other captions to assess each drawing against ({default})",
    )
    parser.add_argument("--seed", type=int, default=0, help=default)
    parser.add_argument("--device", default="cpu", help=f"cpu, cuda, cuda:1, npu ({default})")
    parser.add_argument(
        "--batch", type=int, default=100, help=f"most drawings at once, as memory allows ({default})"
    )
    parser.add_argument(
        "--sequence-length", type=int, help="tokens of a training row (default: the model's context)"
    )
    add_sampling(parser)
    return parser


def run(options: argparse.Namespace) -> None:
    """Makes one round, or what is left of it."""
    for name in ("batch", "sequence_length"):
        if (given := getattr(options, name)) is not None and given < 1:
            raise ValueError(f"--{name.replace('_', '-')} {given}: give a whole number from 1")
    check_device(options.device)
    from evals.playground.suite import NEEDS
    from judges.judge_config import read_judge
    from models.folder_hash import folder_hash
    from models.unified import Illume
    from self_enhancement.loop import SELF_ASSESSMENTS, token_counter
    from self_enhancement.report import write_enhancement_report
    from self_enhancement.round import Round
    from self_enhancement.settings import RoundSettings

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line for each call hides the others
    judge = read_judge(options.judge)
    judge.check()
    settings = RoundSettings(
        prompts=options.prompts,
        count=options.count,
        draws=options.draws,
        target=options.target,
        bad_share=options.bad_share,
        hard_negatives=options.hard_negatives,
        form=options.form,
        sampling=given_sampling(options),
        seed=options.seed,
    )
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
