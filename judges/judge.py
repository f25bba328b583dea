"""What every judge does, and what it says where it cannot."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from judges.assessment import DIMENSIONS, Assessment, Dimension, check_dimensions
from models.unified import Illume


@dataclass(frozen=True)
class Unjudged:
    """No opinion of this image, and why: a refusal, or an answer that is no assessment after all tries."""

    reason: str


def opinion_to_json(opinion: Assessment | Unjudged) -> dict[str, Any]:
    """An opinion as it is kept on disk."""
    return {"unjudged": opinion.reason} if isinstance(opinion, Unjudged) else opinion.model_dump()


def opinion_from_json(said: Mapping[str, Any]) -> Assessment | Unjudged:
    """An opinion as it was kept.

    Raises:
        ValueError: it is damaged.
    """
    return Unjudged(said["unjudged"]) if "unjudged" in said else Assessment.model_validate(said)


Opinion = Assessment | Unjudged


class JudgeUnavailable(OSError):
    """The judge cannot go on for now: its server is gone, or a cap is reached. What it said before is kept."""


class JudgeRefused(ValueError):
    """The judge will never answer as it is set up, as with a wrong key."""


def _dimension(given: Any) -> Dimension:
    if isinstance(given, Dimension):
        return given
    if not isinstance(given, Mapping) or set(given) != {"name", "question"}:
        raise ValueError(f"dimensions: each is {{name: ..., question: ...}}, not {given!r}")
    if not all(isinstance(text, str) and text.strip() for text in given.values()):
        raise ValueError(f"dimensions: name and question are words, not {given!r}")
    return Dimension(**given)


class Judge(ABC):
    """Assesses images.

    Args:
        dimensions: what is looked at; None: object, count, colour and relation (ILLUME section 3.4).

    Attributes:
        name: says who judged, and with what settings; opinions of judges of one name may stand for each other.
    """

    name: str

    def __init__(self, dimensions: Sequence[Dimension | dict[str, str]] | None = None) -> None:
        self.dimensions = check_dimensions(
            [_dimension(d) for d in (DIMENSIONS if dimensions is None else dimensions)]
        )

    @abstractmethod
    def assess(self, prompts: Sequence[str], images: Tensor) -> list[Assessment | Unjudged]:
        """An opinion of each of images (B, 3, H, W) uint8, which were drawn for the prompts.

        Raises:
            JudgeUnavailable: it cannot go on for now.
            JudgeRefused: it never will.
        """

    def check(self) -> None:  # noqa: B027 - most judges need nothing
        """Is asked before anything is drawn whether what it needs is there.

        Raises:
            JudgeRefused: it is not.
        """

    def set_cache(self, folder: Path) -> None:  # noqa: B027 - only what is paid for is worth keeping
        """Is told of a folder where it may keep opinions; a judge that is paid for does."""

    def set_model(self, model: Illume) -> None:  # noqa: B027 - most judges have nothing to do here
        """Is told of the model whose drawings it will see; the self judge needs it, and others do not."""
