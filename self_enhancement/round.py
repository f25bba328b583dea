"""One round of self-enhancement as files in a folder: drawn, judged, written (ILLUME section 3.4).

    round.json             settings, model, and each prompt with the position of its image in the shards
    drawn/*.npy            drawings, a file a batch
    judged/*.json          opinions, a file a batch
    shards/*.tar           the dialogues that they become, and index.json
    self_assessments.json  the model's own verdicts of the first drawings
    summary.json           counts: the round is done

Each file is written whole or not at all, so a round that is cut off in any state goes on without drawing, judging or
paying twice. Every rank draws and judges its own batches; rank 0 writes.
"""

import io
import json
import logging
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.files import write_bytes, write_text
from common.json_files import read_json, read_object
from evals.ranks import ALONE, Ranks
from judges.assessment import Assessment
from judges.judge import Judge, Opinion, Unjudged, opinion_from_json, opinion_to_json
from judges.self_judge import SelfJudge
from models.prompts import PLAYGROUND, Prompts
from models.unified import Illume
from self_enhancement.dialogues import CountTokens, write_shards
from self_enhancement.hard_negatives import choose_hard_negatives
from self_enhancement.prompts import CaptionedImage, choose_prompts, read_captions
from self_enhancement.report import RoundReport
from self_enhancement.settings import RoundSettings
from self_enhancement.training_samples import JudgedRound, training_samples

log = logging.getLogger(__name__)

BATCH = 100  # drawings in a file


class Round:
    """A round in its folder, which is made if it is not there.

    Args:
        folder: of its files.
        settings: of the round.
        number: of the round, on which its prompts and seeds depend.
        ranks: the processes that draw and judge.
        batch: most drawings at once; no more are drawn than memory has room for.
    """

    def __init__(
        self,
        folder: Path,
        settings: RoundSettings,
        number: int = 1,
        ranks: Ranks = ALONE,
        batch: int = BATCH,
    ) -> None:
        if batch < 1:
            raise ValueError(f"batch {batch} is out of range: at least 1 drawing at once")
        self.folder, self.settings, self.number = Path(folder), settings, number
        self.ranks, self.batch = ranks, batch
        self._last: tuple[int, Tensor] = (-1, torch.empty(0))  # the batch of drawings that was read last

    @property
    def done(self) -> bool:
        """Whether its dialogues are written."""
        return (self.folder / "summary.json").is_file()

    @property
    def drawn(self) -> bool:
        """Whether there is nothing left to draw."""
        return (self.folder / "round.json").is_file() and all(
            self._file("drawn", b).is_file() for b in self._batches
        )

    @property
    def record(self) -> dict[str, Any]:
        """What was recorded as it started: its settings, model and prompts."""
        return read_object(self.folder / "round.json", allow_nan=True)

    @property
    def shards(self) -> list[str]:
        """The shards of its dialogues."""
        index = read_object(self.folder / "shards" / "index.json")
        return [str(self.folder / "shards" / name) for name in index["shards"]]

    @property
    def summary(self) -> dict[str, Any]:
        """Counts, once it is done."""
        return read_object(self.folder / "summary.json")

    def start(self, model: str, judge: str, prompts: Prompts = PLAYGROUND) -> None:
        """Chooses the prompts, and records how the round is made; a round that has started keeps its own.

        It is recorded by the fingerprint of the weights that draw, the judge's name, and the prompts of the model.

        Raises:
            ValueError: the folder holds a round of another kind, or there are too few captions.
        """
        kind = {"number": self.number, "model": model, "judge": judge, "settings": asdict(self.settings)}
        kind = json.loads(json.dumps(kind | {"prompts": prompts.to_dict()}))
        path = self.folder / "round.json"
        if path.is_file():
            known = self.record
            if differing := [key for key, value in kind.items() if known.get(key) != value]:
                others = ", another ".join(differing)
                raise ValueError(f"{self.folder} holds a round with another {others}: name another folder")
            return
        shards, draws = self.settings.shards, self.settings.draws
        chosen = choose_prompts(shards, self.settings.count // draws, self._random("prompts"))
        negatives: list[list[str]] = [[] for _ in range(self.settings.count)]
        if self.settings.hard_negatives and self.settings.form == "dialogue":
            rng, drawn = self._random("contrasts"), [one.prompt for one in chosen for _ in range(draws)]
            captions = read_captions(shards, rng)
            negatives = choose_hard_negatives(drawn, captions, self.settings.hard_negatives, rng)
        write_text(path, json.dumps({**kind, "chosen": chosen, "hard_negatives": negatives}) + "\n")

    def _missing(self, kind: str) -> Iterator[tuple[int, Path, range]]:
        """This rank's batches without a file of a kind: their number, file and drawings."""
        for batch in self.ranks.share(self._batches):
            path = self._file(kind, batch)
            if not path.is_file():
                yield batch, path, self._rows(batch)

    def draw(self, model: Illume) -> None:
        """Draws this rank's batches that are not drawn yet."""
        prompts, first = self.prompts(), (self.settings.seed * 1_000 + self.number) * 1_000_003
        for _, path, rows in self._missing("drawn"):
            images = []
            for start in range(0, len(rows), self.batch):
                some = rows[start : start + self.batch]
                seeds = [first + i for i in some]  # of their own for every round
                images.append(
                    model.draw_batch([prompts[i] for i in some], seeds, self.settings.sampling).cpu()
                )
            buffer = io.BytesIO()
            np.save(buffer, torch.cat(images).numpy(), allow_pickle=False)
            write_bytes(path, buffer.getvalue())
            log.info("round %d: drew %d of %d", self.number, rows.stop, self.settings.count)

    def judge(self, judge: Judge) -> None:
        """Has this rank's drawings judged, those that are not yet.

        Raises:
            JudgeUnavailable, JudgeRefused: the judge cannot go on. Its opinions of whole batches are kept here, and of
                single drawings in its own cache.
        """
        prompts, negatives = self.prompts(), self.record["hard_negatives"]
        for batch, path, rows in self._missing("judged"):
            images = self._images(batch)
            captions = [[prompts[i] for i in rows], *zip(*(negatives[i] for i in rows), strict=True)]
            own, *others = [[opinion_to_json(o) for o in judge.assess(list(of), images)] for of in captions]
            kept = {"judge": judge.name, "opinions": own, "hard_negatives": others}
            write_text(path, json.dumps(kept) + "\n")
            log.info("round %d: judged %d of %d", self.number, rows.stop, self.settings.count)

    def self_assess(self, model: Illume, count: int) -> None:
        """Has the model assess its first drawings itself, for comparison with the judge's opinions; all ranks do."""
        path = self.folder / "self_assessments.json"
        if path.is_file():
            return
        judge, count = SelfJudge(), min(count, self.settings.count)
        judge.set_model(model)
        images = torch.cat([self._images(b) for b in self._batches[: -(-count // BATCH)]])[:count]
        found = judge.assess_with_confidence(self.prompts()[:count], images)
        if self.ranks.first:
            write_text(path, json.dumps([[one.verdict, one.confidence] for one in found]) + "\n")

    def write(self, count_tokens: CountTokens | None = None, max_tokens: int = 0) -> dict[str, Any]:
        """Writes the dialogues and the summary, once everything is judged; one process does this alone.

        With `count_tokens`, texts lose the words that a training row of `max_tokens` has no room for.
        """
        if self.done:
            return self.summary
        opinions = self.opinions()
        good = self.verdicts(opinions)
        judged = JudgedRound(
            settings=self.settings,
            number=self.number,
            chosen=self._chosen(),
            image=self._image,
            opinions=opinions,
            good=good,
            hard_negatives=self._hard_negatives(),
            prompts=Prompts(**self.record["prompts"]),
            count_tokens=count_tokens,
            max_tokens=max_tokens,
        )
        dialogues, second_turns = write_shards(training_samples(judged), self.folder / "shards")
        verdicts = Counter("unjudged" if g is None else "good" if g else "bad" for g in good)
        assessments = [opinion for opinion in opinions if isinstance(opinion, Assessment)]
        wrong = Counter(
            name for one in assessments for name, verdict in one.verdicts.items() if not verdict.ok
        )
        summary = {
            "round": self.number,
            "drawings": len(opinions),
            **{name: verdicts[name] for name in ("good", "bad", "unjudged")},
            "dialogues": dialogues,
            "second_turns": second_turns,
            **{name: judged.counts[name] for name in ("shortened", "left_out")},
            "wrong": dict(sorted(wrong.items())),
        }
        self._warn(summary, max_tokens)
        write_text(self.folder / "summary.json", json.dumps(summary, indent=1) + "\n")
        return summary

    def _warn(self, summary: dict[str, Any], max_tokens: int) -> None:
        """Warns of a round that trains badly."""
        good, bad, shortened, left_out = (summary[k] for k in ("good", "bad", "shortened", "left_out"))
        if min(good, bad) == 0 and self.settings.form == "dialogue":
            side = "good" if good else "bad" if bad else "missing"
            one_sided = "round %d: all %d verdicts are %s: a model trained on them learns to say one thing"
            log.warning(one_sided, self.number, good + bad, side)
        if shortened or left_out:
            rows = (
                "round %d: rows of %d tokens hold %d dialogues only with shortened texts, and %d not at all"
            )
            log.warning(rows, self.number, max_tokens, shortened, left_out)
        if not summary["dialogues"]:
            log.warning(
                "round %d has not one dialogue: nothing was judged, or nothing had a target", self.number
            )

    def report(self) -> RoundReport:
        """What the report shows of it."""
        path = self.folder / "self_assessments.json"
        found = read_json(path, allow_nan=True) if path.is_file() else []
        own, opinions = [(verdict, float(confidence)) for verdict, confidence in found], self.opinions()
        return RoundReport(self.summary, self.prompts(), self._image, opinions, self.verdicts(opinions), own)

    def opinions(self) -> list[Opinion]:
        """The judge's opinion of each drawing."""
        return [opinion_from_json(one) for b in self._batches for one in self._kept(b)["opinions"]]

    def verdicts(self, opinions: list[Opinion]) -> list[bool | None]:
        """Whether each drawing is good, by these opinions; None where nobody could say."""
        least = self.settings.good_score
        return [None if isinstance(o, Unjudged) else o.overall and o.score >= least for o in opinions]

    def _hard_negatives(self) -> list[list[tuple[str, Opinion]]]:
        """For each drawing its hard negatives, with the judge's opinions."""
        captions: list[list[str]] = self.record["hard_negatives"]
        opinions: list[tuple[Any, ...]] = []
        for batch in self._batches:
            kept = self._kept(batch)["hard_negatives"]  # all of the first captions, of the second ones, ...
            opinions += zip(*kept, strict=True) if kept else [()] * len(self._rows(batch))
        return [
            list(zip(of, map(opinion_from_json, judged), strict=True))
            for of, judged in zip(captions, opinions, strict=True)
        ]

    def drawings(self) -> Tensor:
        """(count, 3, H, W) uint8."""
        return torch.cat([self._images(batch) for batch in self._batches])

    def prompts(self) -> list[str]:
        """The prompt of each drawing."""
        return [chosen.prompt for chosen in self._chosen() for _ in range(self.settings.draws)]

    def _chosen(self) -> list[CaptionedImage]:
        return [CaptionedImage(*row) for row in self.record["chosen"]]

    def _random(self, purpose: str) -> random.Random:
        return random.Random(f"{self.settings.seed}|{self.number}|{purpose}")

    @property
    def _batches(self) -> range:
        return range(-(-self.settings.count // BATCH))

    def _rows(self, batch: int) -> range:
        return range(batch * BATCH, min(self.settings.count, (batch + 1) * BATCH))

    def _file(self, kind: str, batch: int) -> Path:
        return self.folder / kind / f"{batch:05d}.{'npy' if kind == 'drawn' else 'json'}"

    def _kept(self, batch: int) -> dict[str, Any]:
        return read_json(self._file("judged", batch), allow_nan=True)

    def _image(self, number: int) -> Tensor:
        batch = number // BATCH
        if self._last[0] != batch:
            self._last = (batch, self._images(batch))
        return self._last[1][number % BATCH]

    def _images(self, batch: int) -> Tensor:
        return torch.from_numpy(np.load(self._file("drawn", batch), allow_pickle=False))
