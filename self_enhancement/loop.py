"""The loop of self-enhancement: rounds of one training run, and the pool of their dialogues (ILLUME section 3.4)."""

import logging
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist

from datamodules.document_datamodule import SourceConfig
from evals.ranks import ALONE, Ranks
from judges.judge import Judge, JudgeUnavailable
from models.model_folder import COMPONENTS
from models.sequence import Sequencer
from models.unified import Illume
from self_enhancement.dialogues import CountTokens
from self_enhancement.report import write_enhancement_report
from self_enhancement.round import BATCH, Round
from self_enhancement.settings import RoundSettings

log = logging.getLogger(__name__)

FOLDER = "self_enhancement"
SELF_ASSESSMENTS = 200  # drawings of a round that the model assesses itself as well
Result = TypeVar("Result")


class SelfEnhancementLoop:
    """Runs rounds one after another, each from wherever it was cut off; arguments as of `callbacks.self_enhancement`.

    Attributes:
        finished: rounds in the pool: name, steps, folder, shards and dialogues of each.
        pending: the round that was begun: number, step and folder.
    """

    def __init__(
        self,
        settings: RoundSettings,
        judge: Judge,
        share: float = 0.1,
        max_dialogues: int | None = None,
        self_assessments: int = SELF_ASSESSMENTS,
        batch: int = BATCH,
    ) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share {share} is out of range: above 0 and below 1")
        if batch < 1:
            raise ValueError(f"batch {batch} is out of range: at least 1")
        self.settings, self.judge, self.share = settings, judge, share
        self.max_dialogues, self.self_assessments, self.batch = max_dialogues, self_assessments, batch
        self.folder, self.ranks = Path(FOLDER), ALONE
        self.finished: list[dict[str, Any]] = []
        self.pending: dict[str, Any] | None = None

    def set_run(self, folder: Path, ranks: Ranks) -> None:
        """Sets the folder of the run, and the processes that share the work."""
        self.folder, self.ranks = folder / FOLDER, ranks

    def begin(self, step: int) -> None:
        """Makes the next round pending."""
        self.pending = {"number": len(self.finished) + 1, "step": step, "folder": ""}

    def run_pending(
        self, model: Illume, count_tokens: CountTokens, max_tokens: int, step: int
    ) -> dict[str, Any] | None:
        """Finishes the pending round at a step of training; returns its summary.

        None where the judge cannot be reached: the round stays pending. Dialogues fit into rows of `max_tokens`.
        """
        assert self.pending is not None
        self.judge.set_model(model)
        one = self._start(model)
        self.judge.set_cache(one.folder / "opinions")

        def draw_and_judge() -> None:
            one.draw(model)
            one.judge(self.judge)

        try:
            on_all_ranks(draw_and_judge)
        except JudgeUnavailable as error:
            log.warning("round %d waits: %s", one.number, error)
            return None
        if self.self_assessments:
            on_all_ranks(partial(one.self_assess, model, self.self_assessments))
        on_all_ranks(partial(one.write, count_tokens, max_tokens) if self.ranks.first else _nothing)
        summary = one.summary
        self.finished.append(
            {
                "name": f"self_enhancement_{one.number}",
                "step": self.pending["step"],
                "until": step,
                "folder": str(one.folder),
                "shards": one.shards,
                "dialogues": summary["dialogues"],
            }
        )
        self.pending = None
        return summary

    def _start(self, model: Illume) -> Round:
        """The pending round: where it was begun if all is drawn there, else one of the model as it is now."""
        assert self.pending is not None
        number, settings = self.pending["number"], self.settings.resolve(model.generation.draw)
        one = Round(Path(self.pending["folder"]), settings, number, self.ranks, self.batch)
        if self.pending["folder"] and one.drawn:
            weights = one.record["model"]
        else:
            components = [name for name in COMPONENTS if getattr(model, name) is not None]
            weights = on_all_ranks(lambda: model.fingerprint(*components))
            folder = self.folder / f"round-{number:03d}-{weights}"
            one = Round(folder, settings, number, self.ranks, self.batch)
        start = partial(one.start, weights, self.judge.name, model.prompts)
        on_all_ranks(start if self.ranks.first else _nothing)
        self.pending = {**self.pending, "folder": str(one.folder)}
        return one

    def sources(self, others: Mapping[str, SourceConfig]) -> dict[str, SourceConfig]:
        """The pool as sources with their share; rounds beyond the cap have weight 0, the oldest first."""
        names = [one["name"] for one in self.finished]
        total = sum(source.weight for name, source in others.items() if name not in names)
        counted: dict[str, int] = {}
        room = self.max_dialogues if self.max_dialogues is not None else sys.maxsize
        for one in reversed(self.finished):
            counted[one["name"]] = min(one["dialogues"], room)
            room -= counted[one["name"]]
        weight = total * self.share / (1 - self.share) / max(1, sum(counted.values()))
        return {
            one["name"]: SourceConfig(one["shards"], "document", weight * counted[one["name"]])
            for one in self.finished
            if one["shards"]
        }

    def write_report(self, folder: Path, scores: Mapping[str, Mapping[str, float]]) -> None:
        """Writes self_enhancement.html and .json, with scores `before` and `after`, once a round is finished."""
        if self.ranks.first and self.finished:
            rounds = [
                Round(Path(one["folder"]), self.settings, number).report()
                for number, one in enumerate(self.finished, 1)
            ]
            write_enhancement_report(folder, rounds, scores.get("before", {}), scores.get("after", {}))


def token_counter(sequencer: Sequencer) -> CountTokens:
    """Counts a document's tokens as training does."""
    return lambda document: len(sequencer.segment(document))


def _nothing() -> None:
    """The work of ranks that only wait."""


def on_all_ranks(work: Callable[[], Result]) -> Result:
    """Runs each rank's work; returns the first rank's result. An error of one rank stops all, for they would wait for it.

    Raises:
        JudgeUnavailable: the judge of a rank went away, and nothing worse happened.
        ValueError: another rank met an error; that one raises its own.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return work()
    result, own = None, None
    try:
        result = work()
    except Exception as error:  # noqa: BLE001 - raised below, once all ranks know of it
        own = error
    message = None if own is None else (isinstance(own, JudgeUnavailable), str(own))
    outcomes: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(outcomes, (result, message))
    # what is worse than a judge that went away comes first, and each rank's own before another's
    failed = [message for _, message in outcomes if message is not None]
    worse, unavailable = ([text for away, text in failed if away is side] for side in (False, True))
    if own is not None and not (worse and isinstance(own, JudgeUnavailable)):
        raise own
    if worse:
        raise ValueError(f"another rank could not go on: {worse[0]}")
    if unavailable:
        raise JudgeUnavailable(unavailable[0])
    return outcomes[0][0]
