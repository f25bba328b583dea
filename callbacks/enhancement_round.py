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
import math
import random
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from callbacks.durable import put_in_place, scratch_path, write_text
from datamodules.decode import sample_text
from datamodules.places import Unreachable, find_shards, local
from datamodules.shard import BrokenSample, BrokenShard, Shard, add_member
from evals.assessment import Assessment, to_text
from evals.enhancement_report import RoundShown
from evals.judges.judge import Judge, Unjudged
from evals.judges.self_judge import SelfJudge
from models.document import Document, Draw, See, Text, assess_document, draw_document, redraw_document
from models.unified import Illume

log = logging.getLogger(__name__)

BATCH = 100  # drawings made at once
SHARD_SAMPLES = 500
IMAGES = ("png", "jpg", "jpeg", "webp")


@dataclass(frozen=True)
class RoundSettings:
    """What a round does.

    Args:
        prompts: shards of raw pairs whose captions are drawn (ILLUME: a part of its text-to-image captions).
        count: drawings.
        draws: drawings of one prompt.
        good_score: a drawing is good if it is right overall and has at least this score.
        target: what a bad drawing is drawn again as: `truth`, the caption's own image, or `own`, the best-judged drawing
            of the same prompt (if that one is good; else the bad one teaches no second turn).
        bad_share: share of bad drawings among those that become dialogues; None: as they come.
        form: `dialogue` as in the paper, or `pairs`: the same targets as plain text-to-image, without assessments, to
            tell what the words add.
        cfg, temperature: of the drawings.
        seed: of the choice of prompts, and of the drawings.

    Raises:
        ValueError: a setting that makes no sense.
    """

    prompts: tuple[str, ...]
    count: int = 1000
    draws: int = 1
    good_score: int = 8
    target: Literal["truth", "own"] = "truth"
    bad_share: float | None = None
    form: Literal["dialogue", "pairs"] = "dialogue"
    cfg: float = 1.25
    temperature: float = 0.6
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.draws <= self.count or self.count % self.draws:
            raise ValueError(f"a round of {self.count} drawings cannot have {self.draws} of each prompt")
        if self.target == "own" and self.draws < 2:
            raise ValueError("target own needs draws of 2 or more: the best of several is taken")
        if self.bad_share is not None and not 0 < self.bad_share <= 1:
            raise ValueError(f"bad_share {self.bad_share} is out of range: above 0, at most 1")


class Round:
    """A round in its folder.

    Args:
        folder: where it lies; made if it is not there.
        settings: what it does.
        number: of the round, which its prompts and seeds depend on.
        rank, ranks: this process among those that draw and judge.
    """

    def __init__(
        self, folder: Path, settings: RoundSettings, number: int = 1, rank: int = 0, ranks: int = 1
    ) -> None:
        self.folder, self.settings, self.number, self.rank, self.ranks = (
            Path(folder),
            settings,
            number,
            rank,
            ranks,
        )
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
        index = json.loads((self.folder / "shards" / "index.json").read_text(encoding="utf-8"))
        return [str(self.folder / "shards" / name) for name in index["shards"]]

    @property
    def summary(self) -> dict[str, Any]:
        """Counts, once it is done."""
        return json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))

    def make_plan(self, model: str, judge: str) -> None:
        """Chooses the prompts; a plan that is there is kept.

        Args:
            model: what names the weights that draw.
            judge: what names who judges.

        Raises:
            ValueError: the folder holds a round of another kind, or there are too few captions.
        """
        kind = {"number": self.number, "model": model, "judge": judge, "settings": asdict(self.settings)}
        kind = json.loads(json.dumps(kind))
        path = self.folder / "plan.json"
        if path.is_file():
            known = json.loads(path.read_text(encoding="utf-8"))
            differing = [key for key, value in kind.items() if known.get(key) != value]
            if differing:
                raise ValueError(
                    f"{self.folder} holds a round with another {', another '.join(differing)}: name another folder"
                )
            return
        plan = {**kind, "chosen": self._choose(self.settings.count // self.settings.draws)}
        write_text(path, json.dumps(plan) + "\n")

    def draw(self, model: Illume) -> None:
        """Draws this rank's batches that are not drawn yet."""
        prompts, (first, *_) = self._prompts(), self._seeds()
        for batch in self._mine():
            part = self._part(batch)
            if self._drawn(batch).is_file():
                continue
            seeds = [first + i for i in part]
            made = model.draw([prompts[i] for i in part], seeds, self.settings.cfg, self.settings.temperature)
            _write(self._drawn(batch), _npy(made))
            log.info("round %d: drew %d of %d", self.number, part.stop, self.settings.count)

    def judge(self, judge: Judge) -> None:
        """Has this rank's drawings judged, those that are not yet.

        Raises:
            JudgeAway, JudgeRefused: the judge cannot go on. What it said of whole batches is kept here, and of single
                drawings in its own cache.
        """
        prompts = self._prompts()
        for batch in self._mine():
            path, part = self._judged(batch), self._part(batch)
            if path.is_file():
                continue
            opinions = judge.assess([prompts[i] for i in part], self._images(batch))
            write_text(
                path, json.dumps({"judge": judge.name, "opinions": [_to_json(o) for o in opinions]}) + "\n"
            )
            log.info("round %d: judged %d of %d", self.number, part.stop, self.settings.count)

    def ask_itself(self, model: Illume, count: int) -> None:
        """Has the model assess its first drawings itself, to be held against the judge's opinions; all ranks do."""
        path = self.folder / "own.json"
        if path.is_file():
            return
        judge, count = SelfJudge(), min(count, self.settings.count)
        judge.watch(model)
        batches = self._batches()[: -(-count // BATCH)]
        images = torch.cat([self._images(b) for b in batches])[:count]
        found = judge.assess_with_confidence(self._prompts()[:count], images)
        said = [[o.overall if isinstance(o, Assessment) else None, sure] for o, sure in found]
        if self.rank == 0:
            write_text(path, json.dumps(said) + "\n")

    def shown(self) -> RoundShown:
        """All that the report shows of it."""
        path = self.folder / "own.json"
        own = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        pairs = [(ok, float(sure)) for ok, sure in own]
        return RoundShown(
            self.summary, self.prompts(), self.drawings(), self.opinions(), self.verdicts(), pairs
        )

    def write(self) -> dict[str, Any]:
        """Writes the dialogues and the summary, once everything is judged; one process does this alone."""
        if self.done:
            return self.summary
        prompts, opinions = self._prompts(), self.opinions()
        good = [self._good(opinion) for opinion in opinions]
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
        dialogues, turns = self._write_shards(self._samples(prompts, opinions, good))
        summary = {
            "round": self.number,
            "drawings": len(prompts),
            **{name: counts[name] for name in ("good", "bad", "unjudged")},
            "dialogues": dialogues,
            "second_turns": turns,
            "wrong": dict(sorted(wrong.items())),
        }
        write_text(self.folder / "summary.json", json.dumps(summary, indent=1) + "\n")
        return summary

    def opinions(self) -> list[Assessment | Unjudged]:
        """What the judge said of each drawing."""
        said: list[Assessment | Unjudged] = []
        for batch in self._batches():
            content = json.loads(self._judged(batch).read_text(encoding="utf-8"))
            said += [_from_json(one) for one in content["opinions"]]
        return said

    def drawings(self) -> Tensor:
        """(count, 3, H, W) uint8."""
        return torch.cat([self._images(batch) for batch in self._batches()])

    def prompts(self) -> list[str]:
        """The prompt of each drawing."""
        return self._prompts()

    def verdicts(self) -> list[bool | None]:
        """Whether each drawing is good; None where nobody could say."""
        return [self._good(opinion) for opinion in self.opinions()]

    def _good(self, opinion: Assessment | Unjudged) -> bool | None:
        if isinstance(opinion, Unjudged):
            return None
        return opinion.overall and opinion.score >= self.settings.good_score

    def _choose(self, wanted: int) -> list[list[Any]]:
        """Prompts at random, as many from each shard as there are; each as [prompt, shard, sample's number]."""
        places = find_shards(list(self.settings.prompts))
        rng = random.Random(f"{self.settings.seed}|{self.number}|prompts")
        rng.shuffle(places)
        chosen: list[list[Any]] = []
        later: list[tuple[str, list[int]]] = []  # what the shards still have
        for i, place in enumerate(places):
            chosen += self._take(place, None, rng, -(-(wanted - len(chosen)) // (len(places) - i)), later)
        for place, order in later:
            if len(chosen) < wanted:
                chosen += self._take(place, order, rng, wanted - len(chosen), [])
        if len(chosen) < wanted:
            raise ValueError(
                f"there are {len(chosen)} captions with images, and a round is to draw {wanted} of them"
            )
        return chosen[:wanted]

    def _take(
        self,
        place: str,
        order: list[int] | None,
        rng: random.Random,
        count: int,
        later: list[tuple[str, list[int]]],
    ) -> list[list[Any]]:
        """Up to `count` prompts of a shard in this order, or in one of chance; notes what is left of it."""
        try:
            with local(place) as path:
                shard = Shard(path)
        except (BrokenShard, Unreachable) as error:
            log.warning("no prompts from %s: %s", place, error)
            return []
        order = rng.sample(range(len(shard)), len(shard)) if order is None else order
        taken: list[list[Any]] = []
        for at, number in enumerate(order):
            if len(taken) == count:
                later.append((place, order[at:]))
                break
            try:
                sample = shard.read(number)
                prompt = sample_text(sample, "txt")
            except (BrokenSample, ValueError):
                continue
            if any(ending in sample for ending in IMAGES):
                taken.append([prompt, place, number])
        shard.close()
        return taken

    def _plan(self) -> dict[str, Any]:
        return json.loads((self.folder / "plan.json").read_text(encoding="utf-8"))

    def _prompts(self) -> list[str]:
        return [row[0] for row in self._plan()["chosen"] for _ in range(self.settings.draws)]

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

    def _kept(self, good: Sequence[bool | None]) -> list[int]:
        """The drawings that become dialogues: of those judged, as many good and bad as `bad_share` wants."""
        sides = {side: [i for i, g in enumerate(good) if g is side] for side in (True, False)}
        share = self.settings.bad_share
        if (
            share is not None and sides[True] and sides[False]
        ):  # of one side alone there is no share to be had
            rng = random.Random(f"{self.settings.seed}|{self.number}|kept")
            most = min(len(sides[False]) / share, len(sides[True]) / (1 - share) if share < 1 else math.inf)
            for side, part in ((False, share), (True, 1 - share)):
                sides[side] = rng.sample(sides[side], min(len(sides[side]), round(most * part)))
        return sorted(sides[True] + sides[False])

    def _samples(
        self,
        prompts: Sequence[str],
        opinions: Sequence[Assessment | Unjudged],
        good: Sequence[bool | None],
    ) -> Iterator[dict[str, bytes]]:
        chosen, truth = self._plan()["chosen"], _Truth()
        for i in self._kept(good):
            opinion = opinions[i]
            assert isinstance(opinion, Assessment)
            better = None if good[i] else self._better(i, opinions, good, chosen, truth)
            if self.settings.form == "pairs":
                if better is not None:
                    yield _sample(draw_document(prompts[i], f"0.{better[0]}"), {f"0.{better[0]}": better[1]})
                continue
            files, said = {"0.png": _png(self._image(i))}, to_text(opinion)
            document: Document = assess_document("0.png", prompts[i], said)
            if better is not None:
                document = redraw_document("0.png", prompts[i], said, f"1.{better[0]}")
                files[f"1.{better[0]}"] = better[1]
            yield _sample(document, files)
        truth.close()

    def _better(
        self,
        i: int,
        opinions: Sequence[Assessment | Unjudged],
        good: Sequence[bool | None],
        chosen: Sequence[Sequence[Any]],
        truth: "_Truth",
    ) -> tuple[str, bytes] | None:
        """What drawing i is to be drawn again as: (ending, bytes), or None where there is nothing better."""
        draws = self.settings.draws
        if self.settings.target == "truth":
            return truth.image(*chosen[i // draws][1:])
        own = [j for j in range(i // draws * draws, (i // draws + 1) * draws) if good[j]]
        best = max(own, key=lambda j: opinions[j].score, default=None)
        return None if best is None else ("png", _png(self._image(best)))

    def _write_shards(self, samples: Iterator[dict[str, bytes]]) -> tuple[int, int]:
        """Writes all shards; returns how many dialogues there are, and how many of them have a second turn."""
        target, counts, turns = self.folder / "shards", {}, 0
        scratch = scratch_path(target)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        while part := list(islice(samples, SHARD_SAMPLES)):
            name, first = f"shard-{len(counts):05d}.tar", sum(counts.values())
            with tarfile.open(scratch / name, "w", format=tarfile.USTAR_FORMAT) as tar:
                for number, sample in enumerate(part, first):
                    turns += any(member.startswith("1.") for member in sample)
                    for member, content in sample.items():
                        add_member(tar, f"{number:07d}.{member}", content)
            counts[name] = len(part)
        if not counts:
            log.warning(
                "round %d has not one dialogue: nothing was judged, or nothing had a target", self.number
            )
        (scratch / "index.json").write_text(json.dumps({"shards": counts}, indent=1) + "\n", encoding="utf-8")
        put_in_place(scratch, target)
        return sum(counts.values()), turns


class _Truth:
    """The captions' own images, by place; one shard stands open at a time."""

    def __init__(self) -> None:
        self.place, self.shard, self.stack = "", None, None

    def image(self, place: str, number: int) -> tuple[str, bytes]:
        if place != self.place:
            self.close()
            with local(place) as path:
                self.shard = Shard(path)
            self.place = place
        sample = self.shard.read(number)
        ending = next(ending for ending in IMAGES if ending in sample)
        return ending, sample[ending]

    def close(self) -> None:
        if self.shard is not None:
            self.shard.close()
            self.shard = None


def _sample(document: Document, files: dict[str, bytes]) -> dict[str, bytes]:
    """A document whose images are names of members, as a sample of a shard."""
    parts: list[dict[str, Any]] = []
    for part in document:
        if isinstance(part, Text):
            parts.append({"text": part.text, "learn": part.learn})
        elif isinstance(part, See | Draw):
            parts.append({"see" if isinstance(part, See) else "draw": part.image})
    return {"json": json.dumps({"parts": parts}, ensure_ascii=False).encode(), **files}


def _png(image: Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def _npy(images: Tensor) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, images.cpu().numpy(), allow_pickle=False)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch_path(path).write_bytes(content)
    put_in_place(scratch_path(path), path)


def _to_json(opinion: Assessment | Unjudged) -> dict[str, Any]:
    return {"unjudged": opinion.reason} if isinstance(opinion, Unjudged) else opinion.model_dump()


def _from_json(said: dict[str, Any]) -> Assessment | Unjudged:
    return Unjudged(said["unjudged"]) if "unjudged" in said else Assessment.model_validate(said)
