"""Self-enhancement: between epochs the model draws, has its drawings judged, and learns from the dialogues (ILLUME 3.4).

As a callback of stage 3 it mixes each round's dialogues into the epochs that follow. Alone it makes shards of one round:

    python -m callbacks.self_enhancement --model DIR --prompts runs/playground/data/pairs --out DIR
"""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer

from common.errors import Parser, user_errors
from common.folder_lock import FolderLock
from common.paths import path_or_name, user_path
from datamodules.document_datamodule import DocumentDataModule
from evals.playground.suite import NEEDS, playground_suite
from judges.judge import Judge, JudgeUnavailable
from judges.judge_config import read_judge
from judges.scene import SceneJudge
from models.device import check_device
from models.generation import overrides
from models.model_folder import COMPONENTS
from models.sampling_options import add_sampling, given_sampling
from models.sequence import Sequencer
from models.unified import Illume
from self_enhancement.dialogues import Length
from self_enhancement.report import write_enhancement_report
from self_enhancement.round import BATCH, Round
from self_enhancement.settings import RoundSettings
from training.checkpoint import ResumeCheckpoint
from training.eval_mode import eval_mode
from training.stage_drawing import require_components, sampling_of

log = logging.getLogger(__name__)

FOLDER = "self_enhancement"
SELF_ASSESSMENTS = 200  # drawings of a round that the model assesses itself as well


class SelfEnhancement(Callback):
    """Runs a round at the end of every n-th epoch, and mixes its dialogues into the next ones.

    It stands last among a config's callbacks, for a round begins after a checkpoint, which holds what the others
    did at the epoch's end. A round that is cut off goes on from its files. While the judge cannot be reached, the
    round waits and training goes on; it is taken up again at the end of the next epoch, or when the run is resumed.

    Args:
        prompts: shards of raw pairs, whose captions are drawn.
        judge: who judges; None: the playground's exact judge.
        every_n_epochs: how often.
        rounds: at most; None: as often as there are epochs. No round follows the last epoch.
        share: of all documents of the next epochs, that are dialogues (ILLUME: 50 thousand among 8.19 million, 0.006).
        max_dialogues: in the pool; beyond them the oldest rounds count for less, and then for nothing. None: no cap.
        self_assessments: drawings of each round that the model assesses itself as well, for the report; 0: none.
        evaluate: sizes of the playground's suite (per_category, seeds, samples), which is then measured before training
            and after it, for the report; None: not measured.
        at_once: most drawings made at once; no more are made than memory has room for.
        count, draws, good_score, target, bad_share, hard_negatives, form, cfg, temperature, top_k, top_p, seed: as in
            `RoundSettings`.

    Raises:
        ValueError: a setting that makes no sense.
    """

    def __init__(
        self,
        prompts: str | list[str],
        judge: Judge | None = None,
        every_n_epochs: int = 1,
        rounds: int | None = None,
        share: float = 0.1,
        max_dialogues: int | None = None,
        self_assessments: int = SELF_ASSESSMENTS,
        evaluate: dict[str, int] | None = None,
        at_once: int = BATCH,
        count: int = 1000,
        draws: int = 1,
        good_score: int = 8,
        target: Literal["truth", "own"] = "truth",
        bad_share: float | None = None,
        hard_negatives: int = 0,
        form: Literal["dialogue", "pairs"] = "dialogue",
        cfg: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
    ) -> None:
        if min(every_n_epochs, rounds or 1) < 1 or rounds == 0 or not 0 < share < 1:
            raise ValueError(
                "SelfEnhancement: every_n_epochs and rounds are at least 1, share is above 0 and below 1"
            )
        places = (prompts,) if isinstance(prompts, str) else tuple(prompts)
        self.settings = RoundSettings(
            places, count, draws, good_score, target, bad_share, hard_negatives, form,
            *(cfg, temperature, top_k, top_p, seed),
        )  # fmt: skip
        self.given = overrides("SelfEnhancement", **self.settings.sampling)
        if at_once < 1:
            raise ValueError("SelfEnhancement: at_once is at least 1")
        self.at_once = at_once
        self.judge = judge or SceneJudge()
        self.every_n_epochs, self.rounds, self.share = every_n_epochs, rounds, share
        self.max_dialogues, self.self_assessments, self.evaluate = max_dialogues, self_assessments, evaluate
        self.scores: dict[str, dict[str, float]] = {}  # of the suite, before and after
        self.finished: list[dict[str, Any]] = []  # rounds in the pool: name, shards, dialogues
        self.pending: dict[str, Any] | None = None  # the round that is under way: its number and folder

    def state_dict(self) -> dict[str, Any]:
        return {"finished": self.finished, "pending": self.pending, "scores": self.scores}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.finished, self.pending = list(state_dict["finished"]), state_dict["pending"]
        self.scores = dict(state_dict["scores"])

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not isinstance(trainer.datamodule, DocumentDataModule):
            raise ValueError("SelfEnhancement needs a DocumentDataModule, which a language stage has")
        model = require_components(pl_module, "SelfEnhancement", NEEDS["geneval"])
        sampling_of(model, "draw", self.given, "SelfEnhancement")
        self.judge.check()
        if self.finished:  # before the loader is built, which then finds its sources
            self._mix(trainer.datamodule)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == 0:
            self._measure(pl_module, "before")
        if self.pending is not None:  # Lightning does not promise that the epoch's end comes again
            self._go_on(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run or _last_epoch(trainer):
            return
        if self.pending is None:
            begun, last = len(self.finished) + 1, self.finished[-1] if self.finished else None
            if last and last["step"] <= trainer.global_step <= last["until"]:
                return  # a resume comes by the end of its epoch again, where this step's round is done already
            if (trainer.current_epoch + 1) % self.every_n_epochs or (self.rounds or begun) < begun:
                return
            self.pending = {"number": begun, "step": trainer.global_step, "folder": ""}
            for callback in trainer.callbacks:
                if isinstance(callback, ResumeCheckpoint):
                    callback.save_now(trainer)
        self._go_on(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.pending is not None:
            log.warning("round %d was never judged to its end, and taught nothing", self.pending["number"])
        self._measure(pl_module, "after")
        self._report(trainer)

    def _measure(self, pl_module: LightningModule, when: str) -> None:
        if self.evaluate is None or when in self.scores:
            return
        with eval_mode(pl_module) as model:
            found = playground_suite(model, **self.evaluate)
        self.scores[when] = {k: v for k, v in found.items() if k.startswith(("geneval/", "vqa/"))}

    def _report(self, trainer: Trainer) -> None:
        """Writes self_enhancement.html and .json into the run's folder."""
        if not trainer.is_global_zero or not self.finished:
            return
        rounds = [
            Round(Path(one["folder"]), self.settings, i + 1).shown() for i, one in enumerate(self.finished)
        ]
        before, after = (self.scores.get(when, {}) for when in ("before", "after"))
        write_enhancement_report(Path(trainer.default_root_dir), rounds, before, after)

    def _go_on(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finishes the pending round, or leaves it pending where the judge cannot be reached."""
        with eval_mode(pl_module) as model:
            self.judge.set_model(model)
            one = self._round(trainer, model)
            self.judge.set_cache(one.folder / "opinions")

            def draw_and_judge() -> None:
                one.draw(model)
                one.judge(self.judge)

            def self_assess() -> None:
                if self.self_assessments:
                    one.self_assess(model, self.self_assessments)

            try:
                _on_all_ranks(draw_and_judge)
            except JudgeUnavailable as error:
                log.warning("round %d waits: %s", one.number, error)
                return
            _on_all_ranks(self_assess)
        row = trainer.datamodule.sequence_length
        write = partial(one.write, token_counter(pl_module.sequencer), row)
        _on_all_ranks(write if trainer.is_global_zero else lambda: None)
        summary = one.summary
        self.finished.append(
            {
                "name": f"self_enhancement_{one.number}",
                "step": self.pending["step"],
                "until": trainer.global_step,
                "folder": str(one.folder),
                "shards": one.shards,
                "dialogues": summary["dialogues"],
            }
        )
        self.pending = None
        self._mix(trainer.datamodule)
        counts = {f"self_enhancement/{k}": float(v) for k, v in summary.items() if isinstance(v, int)}
        counts |= {f"self_enhancement/wrong_{name}": float(v) for name, v in summary["wrong"].items()}
        for logger in trainer.loggers:
            # at the step that comes: a resume that finishes the round logs no step that was logged before
            logger.log_metrics(counts, step=trainer.global_step)
        self._report(trainer)

    def _round(self, trainer: Trainer, model: Illume) -> Round:
        """The pending round: where it was begun if all is drawn there, else one of the model as it is now."""
        assert self.pending is not None
        place, number = Path(trainer.default_root_dir) / FOLDER, self.pending["number"]
        ranks = (trainer.global_rank, trainer.world_size)
        settings = self.settings.resolved(model.generation.draw)
        one = Round(Path(self.pending["folder"]), settings, number, *ranks, self.at_once)
        if self.pending["folder"] and one.drawn:
            weights = one.model
        else:
            weights = trainer.strategy.broadcast(
                model.fingerprint(*[n for n in COMPONENTS if getattr(model, n) is not None])
            )
            folder = place / f"round-{number:03d}-{weights}"
            one = Round(folder, settings, number, *ranks, self.at_once)
        plan = partial(one.make_plan, weights, self.judge.name, model.prompts)
        _on_all_ranks(plan if trainer.is_global_zero else lambda: None)
        self.pending = {**self.pending, "folder": str(one.folder)}
        return one

    def _mix(self, data: DocumentDataModule) -> None:
        """Gives the pool its share of all documents; rounds beyond the cap fall silent, the oldest first."""
        own = [one["name"] for one in self.finished if one["shards"]]
        others = sum(c["weight"] for name, c in data.sources.items() if name not in own)
        counted: dict[str, int] = {}
        left = self.max_dialogues if self.max_dialogues is not None else sys.maxsize
        for one in reversed(self.finished):
            counted[one["name"]] = min(one["dialogues"], left)
            left -= counted[one["name"]]
        weight = others * self.share / (1 - self.share) / max(1, sum(counted.values()))
        data.add_sources(
            {
                one["name"]: {
                    "shards": one["shards"],
                    "template": "document",
                    "weight": weight * counted[one["name"]],
                }
                for one in self.finished
                if one["shards"]
            }
        )


def token_counter(sequencer: Sequencer) -> Length:
    """What counts a document's tokens as training does."""
    return lambda document: len(sequencer.segment(document))


def _on_all_ranks(work: Callable[[], Any]) -> None:
    """Does each rank's work; what stops one of them stops all, where else the others would wait for it.

    Raises:
        JudgeUnavailable: the judge of a rank went away, and nothing worse happened.
        ValueError: another rank met an error; that one raises its own.
    """
    mine: Exception | None = None
    try:
        work()
    except Exception as error:  # noqa: BLE001 - raised below, once all ranks know of it
        mine = error
    if not (dist.is_available() and dist.is_initialized()):
        if mine is not None:
            raise mine
        return
    told: list[tuple[bool, str] | None] = [None] * dist.get_world_size()
    dist.all_gather_object(told, None if mine is None else (isinstance(mine, JudgeUnavailable), str(mine)))
    # what is worse than a judge that went away comes first, and each rank's own before another's
    worse, away = (
        [message for went, message in filter(None, told) if went is side] for side in (False, True)
    )
    if mine is not None and not (worse and isinstance(mine, JudgeUnavailable)):
        raise mine
    if worse:
        raise ValueError(f"another rank could not go on: {worse[0]}")
    if away:
        raise JudgeUnavailable(away[0])


def _last_epoch(trainer: Trainer) -> bool:
    """Whether training ends with this epoch."""
    steps_done = 0 <= trainer.max_steps <= trainer.global_step
    return steps_done or (trainer.max_epochs or -1) == trainer.current_epoch + 1 or trainer.should_stop


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: one round of a model, as shards."""
    parser = Parser(
        prog="python -m callbacks.self_enhancement", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--model", type=user_path, required=True, metavar="DIR", help="model folder")
    parser.add_argument(
        "--prompts", type=path_or_name, nargs="+", required=True, metavar="SHARDS", help="raw pairs to draw"
    )
    parser.add_argument("--out", type=user_path, required=True, metavar="DIR", help="the round's folder")
    parser.add_argument(
        "--judge",
        type=path_or_name,
        default="scene",
        help="scene, self or a YAML file (default: %(default)s)",
    )
    parser.add_argument("--count", type=int, default=1000, help="drawings (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=1, help="of one prompt (default: %(default)s)")
    parser.add_argument("--target", choices=("truth", "own"), default="truth", help="default: %(default)s")
    parser.add_argument(
        "--form", choices=("dialogue", "pairs"), default="dialogue", help="default: %(default)s"
    )
    parser.add_argument(
        "--bad-share", type=float, help="of bad drawings among dialogues (default: as they come)"
    )
    parser.add_argument(
        "--hard_negatives", type=int, default=0, help="other captions to hold each drawing against (default: 0)"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, npu (default: %(default)s)")
    parser.add_argument(
        "--at-once", type=int, default=BATCH, help="most drawings at once, as memory allows (default: 100)"
    )
    parser.add_argument(
        "--sequence-length", type=int, help="tokens of a row of training (default: the model's context)"
    )
    add_sampling(parser)
    options = parser.parse_args(arguments)
    with user_errors("self_enhancement"):
        check_options(options)
        with FolderLock(options.out):
            run(options)


def check_options(options: argparse.Namespace) -> None:
    """Makes sure that there is the device, and that sizes are sizes.

    Raises:
        ValueError: there is not, or one is none.
    """
    check_device(options.device)
    for name in ("at_once", "sequence_length"):
        if (given := getattr(options, name)) is not None and given < 1:
            raise ValueError(f"--{name.replace('_', '-')} {given}: give a whole number from 1")


def run(options: argparse.Namespace) -> None:
    """Makes one round, or what is left of it."""
    from models.folder_hash import folder_hash

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line a call buries those that tell something
    judge = read_judge(options.judge)
    judge.check()
    settings = RoundSettings(
        prompts=tuple(options.prompts),
        count=options.count,
        draws=options.draws,
        target=options.target,
        form=options.form,
        bad_share=options.bad_share,
        hard_negatives=options.hard_negatives,
        seed=options.seed,
        **given_sampling(options).given,
    )
    model = Illume.from_pretrained(options.model)
    model.require(*NEEDS["geneval"], does="a round")
    model.to(options.device)
    one = Round(options.out, settings.resolved(model.generation.draw), at_once=options.at_once)
    one.make_plan(folder_hash(options.model), judge.name, model.prompts)
    one.draw(model)
    judge.set_model(model)
    judge.set_cache(options.out / "opinions")
    one.judge(judge)
    one.self_assess(model, SELF_ASSESSMENTS)
    row = options.sequence_length or model.language.trunk.config.max_position_embeddings
    summary = one.write(token_counter(model.sequencer), row)
    page = write_enhancement_report(options.out, [one.shown()], {}, {})
    print(
        f"{summary['good']} good, {summary['bad']} bad, {summary['unjudged']} unjudged of {summary['drawings']}"
    )
    turns, place = summary["second_turns"], options.out / "shards"
    print(f"{summary['dialogues']} dialogues ({turns} drawn again) in {place}; the report is {page}")


if __name__ == "__main__":
    main()
