"""The interface of judges, which assess drawings, and their errors."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from judges.assessment import DIMENSIONS, Assessment, Dimension, check_dimensions

if TYPE_CHECKING:
    from models.unified import Illume


@dataclass(frozen=True)
class Unjudged:
    """No opinion of an image, and why: a refusal, or an answer that is no assessment after all tries."""

    reason: str


Opinion = Assessment | Unjudged


def opinion_to_json(opinion: Opinion) -> dict[str, Any]:
    """An opinion as it is kept on disk."""
    return {"unjudged": opinion.reason} if isinstance(opinion, Unjudged) else opinion.model_dump()


def opinion_from_json(kept: Mapping[str, Any]) -> Opinion:
    """An opinion as it was kept.

    Raises:
        ValueError: it is damaged.
    """
    return Unjudged(kept["unjudged"]) if "unjudged" in kept else Assessment.model_validate(kept)


class JudgeUnavailable(OSError):
    """The judge cannot go on for now: its server is gone, or a cap is reached. Its opinions so far are kept."""


class JudgeRefused(ValueError):
    """The judge will never answer as it is configured, as with a wrong key."""


class Judge(ABC):
    """Assesses images.

    Args:
        dimensions: what is assessed; by default object, count, colour and relation (ILLUME section 3.4).

    Attributes:
        name: of the judge and its settings; opinions of judges of one name are interchangeable.
    """

    name: str

    def __init__(self, dimensions: Sequence[Dimension] = DIMENSIONS) -> None:
        self.dimensions = check_dimensions(dimensions)

    @abstractmethod
    def assess(self, prompts: Sequence[str], images: Tensor) -> list[Opinion]:
        """An opinion of each of images (B, 3, H, W) uint8, which were drawn for the prompts.

        Raises:
            JudgeUnavailable: it cannot go on for now.
            JudgeRefused: it never will.
        """

    def check(self) -> None:  # noqa: B027 - most judges need nothing
        """Called before anything is drawn.

        Raises:
            JudgeRefused: what the judge needs is not there.
        """

    def set_cache(self, folder: Path) -> None:  # noqa: B027 - only judges that cost something keep opinions
        """Sets a folder where opinions may be kept."""

    def set_model(self, model: "Illume") -> None:  # noqa: B027 - only the self judge needs it
        """Sets the model whose drawings will be assessed."""
