"""The settings of GenEval."""

from dataclasses import dataclass

from evals.settings import PLAYGROUND, DrawingSettings, option

THRESHOLDS = ("threshold", "counting_threshold", "overlap")


@dataclass(frozen=True, kw_only=True)
class GenEvalSettings(DrawingSettings):
    """GenEval on its own prompts (docs/use/geneval.md)."""

    prompts: str | None = option(
        "its evaluation_metadata.jsonl, or the word playground", None, drawing=True, metavar="FILE"
    )
    detector: str = option("Mask2Former, OWLv2 or Grounding DINO; or the word playground", weights=True)
    clip: str | None = option("CLIP: of GenEval's colours", None, weights=True)
    threshold: float | None = option("score that a detection must exceed (0.3)", None)
    counting_threshold: float | None = option("the same where objects are counted (0.9)", None)
    overlap: float | None = option("IoU from which two of a class are one (1: never)", None)
    per_category: int | None = option("the playground's prompts of each category (50)", None)
    seeds: int | None = option("drawings of each prompt (4)", None)

    def __post_init__(self) -> None:
        super().__post_init__()
        on_playground = self.detector == PLAYGROUND
        if self.per_category is not None and self.prompts != PLAYGROUND:
            raise ValueError(
                "--per-category is of the playground's prompts: give --prompts playground, or leave it out"
            )
        if self.limit is not None and self.prompts is None:
            raise ValueError("--limit takes some of the prompts of a file: give --prompts, or leave it out")
        if on_playground and self.clip is not None:
            raise ValueError("--detector playground reads colours itself: leave out --clip")
        if on_playground and self.thresholds:
            name = next(iter(self.thresholds)).replace("_", "-")
            raise ValueError(f"--{name} is of detectors that doubt: the playground's does not")
        if self.prompts == PLAYGROUND and not on_playground:
            raise ValueError(f"--prompts playground asks for shapes, which {self.detector} does not know: "
                             "give --detector playground as well")  # fmt: skip

    @property
    def thresholds(self) -> dict[str, float]:
        """Those that are given."""
        return {name: getattr(self, name) for name in THRESHOLDS if getattr(self, name) is not None}
