"""Training samples of a round: which drawings become dialogues, and the target of a bad one (ILLUME section 3.4)."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from judges.assessment import Assessment, longest_text
from judges.judge import Opinion
from models.prompts import PLAYGROUND, Prompts
from self_enhancement.dialogues import (
    CountTokens,
    ImageFile,
    Sample,
    dialogue_sample,
    encode_png,
    fit_words,
    pair_sample,
)
from self_enhancement.prompts import CaptionedImage, CaptionImages
from self_enhancement.settings import RoundSettings


@dataclass(frozen=True)
class JudgedRound:
    """A round once everything is judged.

    `counts` is of dialogues whose texts were `shortened` to fit into a row of `max_tokens`, and of those `left_out` as
    even their images and prompts do not fit. Without `count_tokens` texts are never shortened.
    """

    settings: RoundSettings
    number: int
    chosen: Sequence[CaptionedImage]  # each has `settings.draws` drawings
    image: Callable[[int], Tensor]  # returns the drawing (3, H, W) of a number
    opinions: Sequence[Opinion]
    good: Sequence[bool | None]
    hard_negatives: Sequence[Sequence[tuple[str, Opinion]]]  # other captions of each drawing, with opinions
    prompts: Prompts = PLAYGROUND
    count_tokens: CountTokens | None = None
    max_tokens: int = 0
    counts: Counter[str] = field(default_factory=Counter)


def training_samples(judged: JudgedRound) -> Iterator[Sample]:
    """Dialogues of a round's drawings, then one turn for each hard negative; or plain pairs."""
    truth, pairs = CaptionImages(), judged.settings.form == "pairs"
    for i in select_drawings(judged.good, judged.settings, judged.number):
        assessment, prompt = judged.opinions[i], judged.chosen[i // judged.settings.draws].prompt
        assert isinstance(assessment, Assessment)
        target = None if judged.good[i] else _target(judged, i, truth)
        if not pairs:
            yield from _dialogue(judged, i, prompt, assessment, target)
        elif target is not None:
            yield pair_sample(prompt, target, judged.prompts)
    truth.close()
    for i, negatives in enumerate(() if pairs else judged.hard_negatives):
        for caption, opinion in negatives:
            if isinstance(opinion, Assessment):
                yield from _dialogue(judged, i, caption, opinion)


def _dialogue(
    judged: JudgedRound, i: int, prompt: str, assessment: Assessment, target: ImageFile | None = None
) -> Iterator[Sample]:
    """The dialogue of drawing i, its texts as long as fit into a row; none where even images and prompts do not."""
    max_words, image = None, judged.image(i)
    if judged.count_tokens is not None:
        limits = judged.prompts, judged.count_tokens, judged.max_tokens
        max_words = fit_words(image, prompt, assessment, target is not None, *limits)
        if max_words is None:
            judged.counts["left_out"] += 1
            return
        judged.counts["shortened"] += max_words < longest_text(assessment)
    yield dialogue_sample(image, prompt, assessment, target, judged.prompts, max_words)


def select_drawings(good: Sequence[bool | None], settings: RoundSettings, number: int) -> list[int]:
    """The drawings that become dialogues: of those judged, good and bad ones in the proportion of `bad_share`."""
    sides = {side: [i for i, g in enumerate(good) if g is side] for side in (True, False)}
    share = settings.bad_share
    if share is not None and all(sides.values()):  # of one side alone there is no share
        rng = random.Random(f"{settings.seed}|{number}|kept")
        total = min(len(sides[False]) / share, len(sides[True]) / (1 - share) if share < 1 else math.inf)
        for side, part in ((False, share), (True, 1 - share)):
            sides[side] = rng.sample(sides[side], min(len(sides[side]), round(total * part)))
    return sorted(sides[True] + sides[False])


def _target(judged: JudgedRound, i: int, truth: CaptionImages) -> ImageFile | None:
    """What drawing i is to be drawn again as; None where there is nothing better."""
    draws = judged.settings.draws
    if judged.settings.target == "truth":
        return truth.read(judged.chosen[i // draws])
    scores = {
        j: opinion.score
        for j in range(i // draws * draws, (i // draws + 1) * draws)
        if judged.good[j] and isinstance(opinion := judged.opinions[j], Assessment)
    }
    best = max(scores, key=scores.__getitem__, default=None)
    return None if best is None else ("png", encode_png(judged.image(best)))
