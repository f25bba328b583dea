"""The settings of GenAI-Bench."""

from dataclasses import dataclass

from evals.settings import PLAYGROUND, DrawingSettings, option


@dataclass(frozen=True, kw_only=True)
class GenAIBenchSettings(DrawingSettings):
    """GenAI-Bench (docs/use/genai_bench.md)."""

    prompts: str = option("its folder, or the word playground", metavar="DIR")
    vlm: str = option(
        "the scorer: CLIP-FlanT5, or any model that answers questions on images; or the word playground",
        weights=True,
    )
    vlm_tokenizer: str | None = option(
        "of CLIP-FlanT5, which is its T5's: google/flan-t5-xxl", None, weights=True
    )
    per_category: int | None = option("the playground's prompts of each category (50)", None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.prompts == PLAYGROUND) != (self.vlm == PLAYGROUND):
            raise ValueError("--prompts playground and --vlm playground go together: give both, or neither")
        if self.per_category is not None and self.prompts != PLAYGROUND:
            raise ValueError("--per-category is of the playground's prompts: leave it out, or give --limit")
        if self.vlm_tokenizer is not None and self.vlm == PLAYGROUND:
            raise ValueError(f"--vlm-tokenizer is CLIP-FlanT5's, which {PLAYGROUND} is not: leave it out")
