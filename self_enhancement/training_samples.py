"""Which of a round's judged drawings become dialogues, and what a bad one is drawn again as (ILLUME section 3.4)."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from judges.assessment import Assessment, longest
from judges.judge import Unjudged
from models.prompts import PLAYGROUND, Prompts
from self_enhancement.dialogues import (
    ImageFile,
    Length,
    Sample,
    dialogue,
    plain_pair,
    png,
    fit_words,
)
from self_enhancement.prompts import Chosen, CaptionImages
from self_enhancement.settings import RoundSettings

Opinion = Assessment | Unjudged


@dataclass(frozen=True)
class Judged:
    """A round once everything is judged.

    Attributes:
        settings: what the round does.
        number: of the round.
        chosen: its prompts, each with the place of its true image; every one has `settings.draws` drawings.
        image: the drawing (3, H, W) of a number.
        opinions: what the judge said of each drawing.
        good: whether each drawing is good; None where nobody could say.
        hard_negatives: for each drawing, other captions that it was held against, and what the judge said of that.
        prompts: the words of the model that drew, which learns from it.
        length: tokens of a document; None: texts are never shortened.
        row: tokens that a row of training holds.
        counts: of dialogues whose texts were `shortened` to fit into a row, and of those `left_out` as even their
            images and prompts do not.
    """

    settings: RoundSettings
    number: int
    chosen: Sequence[Chosen]
    image: Callable[[int], Tensor]
    opinions: Sequence[Opinion]
    good: Sequence[bool | None]
    hard_negatives: Sequence[Sequence[tuple[str, Opinion]]]
    prompts: Prompts = PLAYGROUND
    length: Length | None = None
    row: int = 0
    counts: Counter[str] = field(default_factory=Counter)


def training_samples(judged: Judged) -> Iterator[Sample]:
    """What a round teaches with: dialogues of its drawings, then one turn for each contrast; or plain pairs."""
    truth, pairs = CaptionImages(), judged.settings.form == "pairs"
    for i in kept(judged.good, judged.settings, judged.number):
        opinion, prompt = judged.opinions[i], judged.chosen[i // judged.settings.draws].prompt
        assert isinstance(opinion, Assessment)
        better = None if judged.good[i] else _better(judged, i, truth)
        if not pairs:
            yield from _dialogue(judged, i, prompt, opinion, better)
        elif better is not None:
            yield plain_pair(prompt, better, judged.prompts)
    truth.close()
    for i, held_against in enumerate(() if pairs else judged.hard_negatives):
        for other, opinion in held_against:
            if isinstance(opinion, Assessment):
                yield from _dialogue(judged, i, other, opinion)


def _dialogue(
    judged: Judged, i: int, prompt: str, opinion: Assessment, better: ImageFile | None = None
) -> Iterator[Sample]:
    """The dialogue of drawing i, its texts as long as a row has room for; none where it has no room at all."""
    words, image = None, judged.image(i)
    if judged.length is not None:
        about = opinion, better is not None, judged.prompts
        words = fit_words(image, prompt, *about, judged.length, judged.row)
        if words is None:
            judged.counts["left_out"] += 1
            return
        judged.counts["shortened"] += words < longest(opinion)
    yield dialogue(image, prompt, opinion, better, judged.prompts, words)


def kept(good: Sequence[bool | None], settings: RoundSettings, number: int) -> list[int]:
    """The drawings that become dialogues: of those judged, as many good and bad as `bad_share` wants."""
    sides = {side: [i for i, g in enumerate(good) if g is side] for side in (True, False)}
    share = settings.bad_share
    if share is not None and all(sides.values()):  # of one side alone there is no share to be had
        rng = random.Random(f"{settings.seed}|{number}|kept")
        most = min(len(sides[False]) / share, len(sides[True]) / (1 - share) if share < 1 else math.inf)
        for side, part in ((False, share), (True, 1 - share)):
            sides[side] = rng.sample(sides[side], min(len(sides[side]), round(most * part)))
    return sorted(sides[True] + sides[False])


def _better(judged: Judged, i: int, truth: CaptionImages) -> ImageFile | None:
    """What drawing i is to be drawn again as: (ending, bytes), or None where there is nothing better."""
    draws = judged.settings.draws
    if judged.settings.target == "truth":
        return truth.image(judged.chosen[i // draws])
    own = [j for j in range(i // draws * draws, (i // draws + 1) * draws) if judged.good[j]]
    best = max(own, key=lambda j: judged.opinions[j].score, default=None)
    return None if best is None else ("png", png(judged.image(best)))
