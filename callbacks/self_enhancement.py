"""Self-enhancement during training: a round after epochs, whose dialogues are mixed into the next ones (ILLUME 3.4)."""

import logging
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from datamodules.document_datamodule import DocumentDataModule
from evals.playground.suite import NEEDS, playground_suite
from evals.ranks import Ranks
from evals.settings import PlaygroundSettings
from judges import ensemble, open_ai, self_judge  # noqa: F401 - a config may name their classes alone
from judges.judge import Judge
from judges.scene import SceneJudge
from lightning_modules.stage_module import StageModule
from self_enhancement.loop import SELF_ASSESSMENTS, SelfEnhancementLoop, token_counter
from self_enhancement.round import BATCH
from self_enhancement.settings import RoundSettings
from training.checkpoint import ResumeCheckpoint
from training.eval_mode import eval_mode
from training.stage_drawing import require_components, resolve_sampling

log = logging.getLogger(__name__)


class SelfEnhancement(Callback):
    """Runs a round at the end of every n-th epoch, and mixes its dialogues into the next ones.

    It comes last among a config's callbacks, for a round begins after a checkpoint, which holds what the others
    did at the epoch's end. A round that is cut off goes on from its files. While the judge cannot be reached, the
    round waits and training goes on; it is taken up again at the end of the next epoch, or when the run is resumed.

    Args:
        round: settings of every round.
        judge: of the drawings; None: the playground's exact judge.
        every_n_epochs: how often.
        rounds: at most; None: as often as there are epochs. No round follows the last epoch.
        share: of all documents of the next epochs, that are dialogues (ILLUME: 50 thousand among 8.19 million, 0.006).
        max_dialogues: in the pool; beyond them the oldest rounds count for less, and then for nothing. None: no cap.
        self_assessments: drawings of each round that the model assesses itself as well, for the report; 0: none.
        evaluate: settings of the playground's suite, which is then measured before training and after it, for the
            report; None: not measured.
        batch: most drawings at once; no more are drawn than memory has room for.

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(
        self,
        round: RoundSettings,
        judge: Judge | None = None,
        every_n_epochs: int = 1,
        rounds: int | None = None,
        share: float = 0.1,
        max_dialogues: int | None = None,
        self_assessments: int = SELF_ASSESSMENTS,
        evaluate: PlaygroundSettings | None = None,
        batch: int = BATCH,
    ) -> None:
        if every_n_epochs < 1 or (rounds is not None and rounds < 1):
            raise ValueError("SelfEnhancement: every_n_epochs and rounds are at least 1")
        judge = judge or SceneJudge()
        self.loop = SelfEnhancementLoop(round, judge, share, max_dialogues, self_assessments, batch)
        self.every_n_epochs, self.rounds, self.evaluate = every_n_epochs, rounds, evaluate
        self.scores: dict[str, dict[str, float]] = {}  # of the suite, before and after

    def state_dict(self) -> dict[str, Any]:
        return {"finished": self.loop.finished, "pending": self.loop.pending, "scores": self.scores}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loop.finished, self.loop.pending = list(state_dict["finished"]), state_dict["pending"]
        self.scores = dict(state_dict["scores"])

    def on_fit_start(self, trainer: Trainer, pl_module: StageModule) -> None:
        if not isinstance(trainer.datamodule, DocumentDataModule):
            raise ValueError("SelfEnhancement needs a DocumentDataModule, which a language stage has")
        model = require_components(pl_module, "SelfEnhancement", NEEDS["geneval"])
        resolve_sampling(model, "draw", self.loop.settings.sampling, "SelfEnhancement")
        self.loop.judge.check()
        ranks = Ranks(trainer.global_rank, trainer.world_size)
        self.loop.set_run(Path(trainer.default_root_dir), ranks)
        if self.loop.finished:  # before the loader is built, which then finds its sources
            self._mix(trainer.datamodule)

    def on_train_start(self, trainer: Trainer, pl_module: StageModule) -> None:
        if trainer.global_step == 0:
            self._measure(pl_module, "before")
        if self.loop.pending is not None:  # Lightning does not promise that the epoch's end comes again
            self._run_pending(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: StageModule) -> None:
        if trainer.fast_dev_run or _is_last_epoch(trainer):
            return
        if self.loop.pending is None:
            finished = self.loop.finished
            if finished and finished[-1]["step"] <= trainer.global_step <= finished[-1]["until"]:
                return  # a resume comes by the end of its epoch again, where this step's round is done already
            if (trainer.current_epoch + 1) % self.every_n_epochs:
                return
            if self.rounds is not None and len(finished) >= self.rounds:
                return
            self.loop.begin(trainer.global_step)
            for callback in trainer.callbacks:
                if isinstance(callback, ResumeCheckpoint):
                    callback.save_now(trainer)
        self._run_pending(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: StageModule) -> None:
        if self.loop.pending is not None:
            number = self.loop.pending["number"]
            log.warning("round %d was never judged to its end, and nothing was trained on it", number)
        self._measure(pl_module, "after")
        self.loop.write_report(Path(trainer.default_root_dir), self.scores)

    def _measure(self, pl_module: StageModule, when: str) -> None:
        if self.evaluate is None or when in self.scores:
            return
        with eval_mode(pl_module) as model:
            scores = playground_suite(model, self.evaluate)
        self.scores[when] = {k: v for k, v in scores.items() if k.startswith(("geneval/", "vqa/"))}

    def _run_pending(self, trainer: Trainer, pl_module: StageModule) -> None:
        """Finishes the pending round, or leaves it pending where the judge cannot be reached."""
        count_tokens, max_tokens = token_counter(pl_module.sequencer), trainer.datamodule.sequence_length
        with eval_mode(pl_module) as model:
            summary = self.loop.run_pending(model, count_tokens, max_tokens, trainer.global_step)
        if summary is None:
            return
        self._mix(trainer.datamodule)
        counts = {f"self_enhancement/{k}": float(v) for k, v in summary.items() if isinstance(v, int)}
        counts |= {f"self_enhancement/wrong_{name}": float(v) for name, v in summary["wrong"].items()}
        for logger in trainer.loggers:
            # at the step that comes: a resume that finishes the round logs no step that was logged before
            logger.log_metrics(counts, step=trainer.global_step)
        self.loop.write_report(Path(trainer.default_root_dir), self.scores)

    def _mix(self, data: DocumentDataModule) -> None:
        data.add_sources(self.loop.sources(data.sources))


def _is_last_epoch(trainer: Trainer) -> bool:
    """Whether training ends with this epoch."""
    steps_done = 0 <= trainer.max_steps <= trainer.global_step
    return steps_done or (trainer.max_epochs or -1) == trainer.current_epoch + 1 or trainer.should_stop
