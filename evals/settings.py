"""Settings of a benchmark: one dataclass, of which its command has its options and its callback its YAML keys."""

from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from evals.published_weights import WeightSource
from models.generation import SamplingConfig

FULL = {"per_category": 50, "seeds": 4, "samples": 600}  # of the playground's suite
QUICK = {"per_category": 8, "seeds": 1, "samples": 72}
THRESHOLDS = ("threshold", "counting_threshold", "overlap")  # of GenEval
PLAYGROUND = "playground"  # in place of a file or a network: the playground's prompts, or its exact judge


def option(
    help: str, default: Any = MISSING, *, weights: bool = False, drawing: bool = False, **argparse: Any
) -> Any:
    """A field of settings that is an option of the command line, with the help of both.

    `weights` marks a network of other people, or the playground's judge; `drawing` what must be given where a model
    draws; `argparse` is the type, metavar or choices of the option, where those of the annotation will not do.
    """
    about = {"help": help, "weights": weights, "drawing": drawing, "argparse": argparse}
    return field(default=default, metadata=about)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings that every benchmark has."""

    seed: int = option("of all that is random", 0, type=int)
    sampling: SamplingConfig = field(
        default_factory=SamplingConfig, metadata={"help": "of drawings or edits"}
    )

    def __init_subclass__(cls) -> None:
        """Documents the fields, from which jsonargparse takes the help of YAML keys."""
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Field)}
        args = "".join(f"\n    {name}: {value.metadata.get('help')}" for name, value in own.items())
        cls.__doc__ = f"{cls.__doc__}\n\nArgs:{args}" if own else cls.__doc__

    def __post_init__(self) -> None:
        """Checks the counts; the options' types have done so for a command."""
        for name in ("limit", "batch", "seeds", "per_category", "samples"):
            value = getattr(self, name, None)
            if value is not None and value < 1:
                who = type(self).__name__.removesuffix("Settings")
                raise ValueError(f"{who}: {name} {value} is out of range: a whole number from 1")

    def check_weights(self) -> None:
        """Raises FileNotFoundError if a network is no folder, and cannot be a hub name; loads none."""
        for one in fields(self):
            value = getattr(self, one.name)
            if one.metadata.get("weights") and value not in (None, PLAYGROUND):
                WeightSource.parse(value, f"--{one.name.replace('_', '-')}")


@dataclass(frozen=True, kw_only=True)
class DrawingSettings(Settings):
    """Settings of a benchmark whose images a model draws into a folder."""

    batch: int = option("images drawn at once (16)", 16)
    limit: int | None = option("at most so many images, GenEval prompts or sessions (all)", None)


@dataclass(frozen=True, kw_only=True)
class PlaygroundSettings(Settings):
    """The playground's suite."""

    quick: bool = option("few samples of everything, to try it out", False)
    per_category: int | None = option("the playground's prompts of each category (50)", None)
    seeds: int | None = option("drawings of each prompt (4)", None)
    samples: int | None = option(
        "held-out scenes to reconstruct; 4/3 as many questions and 1/3 as many edits (600)", None
    )
    inception: Path | None = option("Inception weights, for FID as well", None, metavar="FILE")
    assess: bool = option("also has the model assess GenEval's drawings itself", False)
    edit_sampling: SamplingConfig = field(default_factory=SamplingConfig, metadata={"help": "of edits"})

    def __post_init__(self) -> None:
        """Sets the counts that are not given."""
        for name, value in (QUICK if self.quick else FULL).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        super().__post_init__()


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


@dataclass(frozen=True, kw_only=True)
class FidelitySettings(DrawingSettings):
    """What every distance to real images takes (docs/use/fidelity.md)."""

    real: Path = option("real images: folder, .zip, .tar, statistics; MJHQ-30K's folder")
    inception: Path | None = option("Inception weights (downloaded)", None, metavar="FILE")
    features: Path | None = option("caches features there, to go on with", None)


@dataclass(frozen=True, kw_only=True)
class FidSettings(FidelitySettings):
    """FID of drawings."""

    prompts: str | None = option("a prompt a line", None, drawing=True, metavar="FILE")


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


@dataclass(frozen=True, kw_only=True)
class EditingSettings(DrawingSettings):
    """What both test sets take (docs/use/editing.md)."""

    data: Path = option("the test set's folder")
    clip: str = option("CLIP, best openai/clip-vit-base-patch32", weights=True)
    dino: str = option("DINO or DINOv2, best facebook/dino-vits16", weights=True)


@dataclass(frozen=True, kw_only=True)
class EmuEditSettings(EditingSettings):
    """Emu Edit."""

    split: str = option("of Emu Edit (test)", "test", choices=("test", "validation"))


@dataclass(frozen=True, kw_only=True)
class MagicBrushSettings(EditingSettings):
    """MagicBrush."""

    multi_turn: bool = option("MagicBrush's sessions of several turns as well", False)
