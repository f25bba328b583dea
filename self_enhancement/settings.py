"""What a round of self-enhancement does: how much it draws, what is good, and what a bad drawing is drawn again as."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from models.generation import SamplingConfig, overrides
from models.sampling_options import NAMES


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
        hard_negatives: other captions of these shards that each drawing is assessed against as well, in a turn of its own (not
            in the paper): what is wrong then costs no drawing. They differ from its own in one word, where some do.
        form: `dialogue` as in the paper, or `pairs`: the same targets as plain text-to-image, without assessments, to
            tell what the words add.
        cfg, temperature, top_k, top_p: of the drawings; None: the model's own, which a round writes down.
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
    hard_negatives: int = 0
    form: Literal["dialogue", "pairs"] = "dialogue"
    cfg: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.draws <= self.count or self.count % self.draws:
            raise ValueError(f"a round of {self.count} drawings cannot have {self.draws} of each prompt")
        if self.target == "own" and self.draws < 2:
            raise ValueError("target own needs draws of 2 or more: the best of several is taken")
        if self.hard_negatives < 0:
            raise ValueError(f"{self.hard_negatives} hard_negatives: name 0 or more")
        if self.bad_share is not None and not 0 < self.bad_share <= 1:
            raise ValueError(f"bad_share {self.bad_share} is out of range: above 0, at most 1")
        overrides("self-enhancement", **self.sampling)

    @property
    def sampling(self) -> dict[str, Any]:
        """Of the drawings."""
        return {name: getattr(self, name) for name in NAMES}

    def resolved(self, own: SamplingConfig) -> "RoundSettings":
        """The same, with a model's own sampling settings where none are given."""
        return replace(self, **asdict(own.override(SamplingConfig(**self.sampling))))
