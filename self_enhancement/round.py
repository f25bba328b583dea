"""One round of self-enhancement as files in a folder: drawn, judged, written (ILLUME section 3.4).

    plan.json       what is drawn: settings, model, and each prompt with the place of its true image
    drawn/*.npy     drawings, a file a batch
    judged/*.json   opinions, a file a batch
    shards/*.tar    the dialogues that they make, and index.json
    own.json        the model's own verdicts of the first drawings
    summary.json    counts: the round is done

Each file is there whole or not at all, so a round that is cut off in any state goes on without drawing, judging or paying
twice. Every rank draws and judges its own batches; rank 0 writes.
"""

import io
import json
import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.files import write_bytes, write_text
from common.json_files import read_json, read_object
from judges.assessment import Assessment
from judges.judge import Judge, Unjudged, opinion_from_json, opinion_to_json
from judges.self_judge import SelfJudge
from models.generation import SamplingConfig
from models.prompts import PLAYGROUND, Prompts
from models.unified import Illume
from self_enhancement.dialogues import Length, write_shards
from self_enhancement.prompts import Chosen, choose_hard_negatives, choose_prompts, read_captions
from self_enhancement.report import RoundReport
from self_enhancement.settings import RoundSettings
from self_enhancement.training_samples import Judged, Opinion, training_samples

log = logging.getLogger(__name__)

BATCH = 100  # drawings in a file


class Round:
    """A round in its folder.

    Args:
        folder: where it lies; made if it is not there.
        settings: what it does.
        number: of the round, which its prompts and seeds depend on.
        rank, ranks: this process among those that draw and judge.
        at_once: most drawings made at once; whatever it is, no more are than memory has room for.
    """

    def __init__(
        self,
        folder: Path,
        settings: RoundSettings,
        number: int = 1,
        rank: int = 0,
        ranks: int = 1,
        at_once: int = BATCH,
    ) -> None:
        if at_once < 1:
            raise ValueError(f"a round makes at least 1 drawing at once, not {at_once}")
        self.at_once = at_once
        self.folder, self.settings, self.number = Path(folder), settings, number
        self.rank, self.ranks = rank, ranks
        self._open: tuple[int, Tensor] = (-1, torch.empty(0))  # the batch of drawings that was looked at last

    @property
    def done(self) -> bool:
        """Whether its dialogues are written."""
        return (self.folder / "summary.json").is_file()

    @property
    def model(self) -> str:
        """What names the weights that draw."""
        return self._plan()["model"]

    @property
    def drawn(self) -> bool:
        """Whether there is nothing left to draw."""
        return (self.folder / "plan.json").is_file() and all(
            self._drawn(b).is_file() for b in self._batches()
        )

    @property
    def shards(self) -> list[str]:
        """The shards of its dialogues."""
        index = read_object(self.folder / "shards" / "index.json")
        return [str(self.folder / "shards" / name) for name in index["shards"]]

    @property
    def summary(self) -> dict[str, Any]:
        """Counts, once it is done."""
        return read_object(self.folder / "summary.json")

    def make_plan(self, model: str, judge: str, prompts: Prompts = PLAYGROUND) -> None:
        """Chooses the prompts; a plan that is there is kept.

        Args:
            model: what names the weights that draw.
            judge: what names who judges.
            prompts: the words in which the model is asked, and the dialogues are written.

        Raises:
            ValueError: the folder holds a round of another kind, or there are too few captions.
        """
        kind = {"number": self.number, "model": model, "judge": judge, "settings": asdict(self.settings)}
        kind = json.loads(json.dumps(kind | {"prompts": prompts.to_dict()}))
        path = self.folder / "plan.json"
        if path.is_file():
            known = read_object(path)
            differing = [key for key, value in kind.items() if known.get(key) != value]
            if differing:
                raise ValueError(
                    f"{self.folder} holds a round with another {', another '.join(differing)}: name another folder"
                )
            return
        rng = random.Random(f"{self.settings.seed}|{self.number}|prompts")
        chosen = choose_prompts(self.settings.prompts, self.settings.count // self.settings.draws, rng)
        plan = {**kind, "chosen": chosen, "hard_negatives": self._choose_contrasts(chosen)}
        write_text(path, json.dumps(plan) + "\n")

    def _choose_contrasts(self, chosen: Sequence[Chosen]) -> list[list[str]]:
        """Captions of others that each drawing is held against."""
        prompts = [one.prompt for one in chosen for _ in range(self.settings.draws)]
        if not self.settings.hard_negatives or self.settings.form == "pairs":
            return [[] for _ in prompts]
        rng = random.Random(f"{self.settings.seed}|{self.number}|hard_negatives")
        captions = read_captions(self.settings.prompts, rng)
        return choose_hard_negatives(prompts, captions, self.settings.hard_negatives, rng)

    def draw(self, model: Illume) -> None:
        """Draws this rank's batches that are not drawn yet."""
        prompts, seeds = self.prompts(), self._seeds()
        for batch in self._mine():
            part = self._part(batch)
            if self._drawn(batch).is_file():
                continue
            made = []
            for few in (part[start : start + self.at_once] for start in range(0, len(part), self.at_once)):
                asked = [prompts[i] for i in few], [seeds[i] for i in few]
                made.append(model.draw_batch(*asked, SamplingConfig(**self.settings.sampling)).cpu())
            write_bytes(self._drawn(batch), _npy(torch.cat(made)))
            log.info("round %d: drew %d of %d", self.number, part.stop, self.settings.count)

    def judge(self, judge: Judge) -> None:
        """Has this rank's drawings judged, those that are not yet.

        Raises:
            JudgeUnavailable, JudgeRefused: the judge cannot go on. What it said of whole batches is kept here, and of single
                drawings in its own cache.
        """
        prompts, hard_negatives = self.prompts(), self._plan()["hard_negatives"]
        for batch in self._mine():
            path, part = self._judged(batch), self._part(batch)
            if path.is_file():
                continue
            images, others = self._images(batch), [hard_negatives[i] for i in part]
            texts = [
                [prompts[i] for i in part],
                *map(list, zip(*others, strict=True)),
            ]  # own, first hard_negatives, ...
            said = [[opinion_to_json(o) for o in judge.assess(of, images)] for of in texts]
            found = {"judge": judge.name, "opinions": said[0], "hard_negatives": said[1:]}
            write_text(path, json.dumps(found) + "\n")
            log.info("round %d: judged %d of %d", self.number, part.stop, self.settings.count)

    def self_assess(self, model: Illume, count: int) -> None:
        """Has the model assess its first drawings itself, to be held against the judge's opinions; all ranks do."""
        path = self.folder / "own.json"
        if path.is_file():
            return
        judge, count = SelfJudge(), min(count, self.settings.count)
        judge.set_model(model)
        batches = self._batches()[: -(-count // BATCH)]
        images = torch.cat([self._images(b) for b in batches])[:count]
        found = judge.assess_with_confidence(self.prompts()[:count], images)
        said = [[o.overall if isinstance(o, Assessment) else None, sure] for o, sure in found]
        if self.rank == 0:
            write_text(path, json.dumps(said) + "\n")

    def shown(self) -> RoundReport:
        """All that the report shows of it."""
        path = self.folder / "own.json"
        own = read_json(path, allow_nan=True) if path.is_file() else []
        pairs, opinions = [(ok, float(sure)) for ok, sure in own], self.opinions()
        return RoundReport(
            self.summary, self.prompts(), self._image, opinions, self.verdicts(opinions), pairs
        )

    def write(self, length: Length | None = None, row: int = 0) -> dict[str, Any]:
        """Writes the dialogues and the summary, once everything is judged; one process does this alone.

        Args:
            length: tokens of a document; None: texts are as long as they come.
            row: tokens that a row of training holds; texts lose the words that it has no room for, and are counted.
        """
        if self.done:
            return self.summary
        prompts, opinions = self.prompts(), self.opinions()
        good = self.verdicts(opinions)
        counts = Counter("unjudged" if g is None else "good" if g else "bad" for g in good)
        wrong = Counter(
            name
            for opinion in opinions
            if isinstance(opinion, Assessment)
            for name, verdict in opinion.verdicts.items()
            if not verdict.ok
        )
        if min(counts["good"], counts["bad"]) == 0 and self.settings.form == "dialogue":
            log.warning(
                "round %d: all %d verdicts are %s: such a pool teaches to say one thing",
                self.number,
                counts["good"] + counts["bad"],
                "good" if counts["good"] else "bad" if counts["bad"] else "missing",
            )
        judged = Judged(
            *(self.settings, self.number, self._chosen(), self._image, opinions, good, self._held_against()),
            prompts=Prompts(**self._plan()["prompts"]),
            **({} if length is None else {"length": length, "row": row}),
        )
        dialogues, turns = write_shards(training_samples(judged), self.folder / "shards")
        if judged.counts["shortened"] or judged.counts["left_out"]:
            log.warning(
                "round %d: rows of %d tokens hold %d dialogues only with shortened texts, and %d not at all",
                *(self.number, row, judged.counts["shortened"], judged.counts["left_out"]),
            )
        if not dialogues:
            log.warning(
                "round %d has not one dialogue: nothing was judged, or nothing had a target", self.number
            )
        summary = {
            "round": self.number,
            "drawings": len(prompts),
            **{name: counts[name] for name in ("good", "bad", "unjudged")},
            "dialogues": dialogues,
            "second_turns": turns,
            **{name: judged.counts[name] for name in ("shortened", "left_out")},
            "wrong": dict(sorted(wrong.items())),
        }
        write_text(self.folder / "summary.json", json.dumps(summary, indent=1) + "\n")
        return summary

    def opinions(self) -> list[Opinion]:
        """What the judge said of each drawing."""
        kept = [self._kept_opinions(batch)["opinions"] for batch in self._batches()]
        return [opinion_from_json(one) for of in kept for one in of]

    def _kept_opinions(self, batch: int) -> dict[str, Any]:
        return read_json(self._judged(batch), allow_nan=True)

    def _held_against(self) -> list[list[tuple[str, Opinion]]]:
        """For each drawing its hard_negatives, with what the judge said of them."""
        hard_negatives, found = self._plan()["hard_negatives"], []
        for batch in self._batches():
            by_contrast = [
                map(opinion_from_json, said) for said in self._kept_opinions(batch)["hard_negatives"]
            ]
            part = self._part(batch)
            said = zip(*by_contrast, strict=True) if by_contrast else [()] * len(part)
            found += [list(zip(hard_negatives[i], s, strict=True)) for i, s in zip(part, said, strict=True)]
        return found

    def drawings(self) -> Tensor:
        """(count, 3, H, W) uint8."""
        return torch.cat([self._images(batch) for batch in self._batches()])

    def prompts(self) -> list[str]:
        """The prompt of each drawing."""
        return [chosen.prompt for chosen in self._chosen() for _ in range(self.settings.draws)]

    def verdicts(self, opinions: Sequence[Opinion] | None = None) -> list[bool | None]:
        """Whether each drawing is good, by these opinions or by its own; None where nobody could say."""
        return [self._good(opinion) for opinion in (self.opinions() if opinions is None else opinions)]

    def _good(self, opinion: Opinion) -> bool | None:
        if isinstance(opinion, Unjudged):
            return None
        return opinion.overall and opinion.score >= self.settings.good_score

    def _plan(self) -> dict[str, Any]:
        return read_object(self.folder / "plan.json", allow_nan=True)

    def _chosen(self) -> list[Chosen]:
        return [Chosen(*row) for row in self._plan()["chosen"]]

    def _seeds(self) -> range:
        """Seeds of the drawings: of their own for every round."""
        first = (self.settings.seed * 1_000 + self.number) * 1_000_003
        return range(first, first + self.settings.count)

    def _batches(self) -> range:
        return range(-(-self.settings.count // BATCH))

    def _mine(self) -> range:
        return self._batches()[self.rank :: self.ranks]

    def _part(self, batch: int) -> range:
        return range(batch * BATCH, min(self.settings.count, (batch + 1) * BATCH))

    def _drawn(self, batch: int) -> Path:
        return self.folder / "drawn" / f"{batch:05d}.npy"

    def _judged(self, batch: int) -> Path:
        return self.folder / "judged" / f"{batch:05d}.json"

    def _image(self, number: int) -> Tensor:
        batch = number // BATCH
        if self._open[0] != batch:
            self._open = (batch, self._images(batch))
        return self._open[1][number % BATCH]

    def _images(self, batch: int) -> Tensor:
        return torch.from_numpy(np.load(self._drawn(batch), allow_pickle=False))


def _npy(images: Tensor) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, images.cpu().numpy(), allow_pickle=False)
    return buffer.getvalue()
