"""Settings of a round: how much it draws, what is good, and the target of a bad drawing's second turn."""

from dataclasses import dataclass, replace
from typing import Literal

from common.paths import path_or_name
from evals.settings import Settings, option
from models.generation import SamplingConfig


@dataclass(frozen=True)
class RoundSettings(Settings):
    """Settings of a round. Raises ValueError if one is out of range."""

    # ILLUME: a part of its text-to-image captions
    prompts: str | list[str] = option(
        "shards of raw pairs, whose captions are drawn",
        nargs="+",
        type=path_or_name,
        metavar="SHARDS",
        required=True,
    )
    count: int = option("drawings (1000)", 1000)
    draws: int = option("drawings of one prompt (1)", 1)
    good_score: int = option("score of a good drawing, which is right overall (8)", 8)
    target: Literal["truth", "own"] = option(
        "of a bad drawing's second turn: the caption's own image, or the best of the prompt's good drawings (truth)",
        "truth",
        choices=("truth", "own"),
    )
    bad_share: float | None = option("share of bad drawings among dialogues (as they come)", None)
    # not in the paper: what is wrong then costs no drawing
    hard_negatives: int = option(
        "other captions that each drawing is assessed against, if possible one word away (0)", 0, type=int
    )
    form: Literal["dialogue", "pairs"] = option(
        "pairs: the same targets as plain text-to-image, to measure what assessments add (dialogue)",
        "dialogue",
        choices=("dialogue", "pairs"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
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
