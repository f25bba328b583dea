"""Settings of a round: how much it draws, what is good, and the target of a bad drawing's second turn."""

from dataclasses import dataclass, field, replace
from typing import Literal

from models.generation import SamplingConfig


@dataclass(frozen=True)
class RoundSettings:
    """Settings of a round.

    Args:
        prompts: shards of raw pairs whose captions are drawn (ILLUME: a part of its text-to-image captions).
        count: drawings.
        draws: drawings of one prompt.
        good_score: a drawing is good if it is right overall and has at least this score.
        target: of the second turn of a bad drawing: `truth`, the caption's own image, or `own`, the best-judged drawing
            of the same prompt (if that one is good; else there is no second turn).
        bad_share: share of bad drawings among those that become dialogues; None: as they come.
        hard_negatives: other captions of these shards that each drawing is also assessed against, in a turn of its own
            (not in the paper): what is wrong then costs no drawing. They differ from its own in one word, where some do.
        form: `dialogue` as in the paper, or `pairs`: the same targets as plain text-to-image, without assessments, to
            measure what the text adds.
        sampling: of the drawings; what is None is the model's own.
        seed: of the choice of prompts, and of the drawings.

    Raises:
        ValueError: a setting is out of range.
    """

    prompts: str | list[str]
    count: int = 1000
    draws: int = 1
    good_score: int = 8
    target: Literal["truth", "own"] = "truth"
    bad_share: float | None = None
    hard_negatives: int = 0
    form: Literal["dialogue", "pairs"] = "dialogue"
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.draws <= self.count or self.count % self.draws:
            raise ValueError(f"a round of {self.count} drawings cannot have {self.draws} of each prompt")
        if self.target == "own" and self.draws < 2:
            raise ValueError("target own needs draws of 2 or more: the best of several is taken")
        if self.hard_negatives < 0:
            raise ValueError(f"hard_negatives {self.hard_negatives} is out of range: 0 or more")
        if self.bad_share is not None and not 0 < self.bad_share <= 1:
            raise ValueError(f"bad_share {self.bad_share} is out of range: above 0, at most 1")

    @property
    def shards(self) -> list[str]:
        """Where its captions are."""
        return [self.prompts] if isinstance(self.prompts, str) else list(self.prompts)

    def resolve(self, own: SamplingConfig) -> "RoundSettings":
        """These settings with a model's own sampling where none is given."""
        return replace(self, sampling=own.override(self.sampling))
