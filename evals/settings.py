"""Settings of a benchmark: one dataclass, of which its command has its options and its callback its YAML keys."""

from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from evals.published_weights import WeightSource
from models.generation import SamplingConfig

FULL = {"per_category": 50, "seeds": 4, "samples": 600}  # of the playground's suite
QUICK = {"per_category": 8, "seeds": 1, "samples": 72}
PLAYGROUND = "playground"  # in place of a file or a network: the playground's prompts, or its exact judge


def option(
    help: str, default: Any = MISSING, *, weights: bool = False, drawing: bool = False, **argparse: Any
) -> Any:
    """A field of settings that is an option of the command line.

    Args:
        help: for `python -m evals --help`, and for the help of the callback.
        default: where it is not given; without one, it must be.
        weights: whether it names a network of other people, or the playground's.
        drawing: whether it must be given where a model draws.
        argparse: its type, metavar or choices, where those of the annotation will not do.
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
        """Looks for the networks, without loading them.

        Raises FileNotFoundError if one is no folder, and cannot be a hub name.
        """
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
