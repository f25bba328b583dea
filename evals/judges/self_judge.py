"""The model as the judge of its own drawings."""

from collections.abc import Sequence

from torch import Tensor

from evals.assessment import OPEN_END, Assessment, Dimension, from_text
from evals.judges.judge import Judge, Unjudged
from models.unified import Illume

BATCH = 100


class SelfJudge(Judge):
    """Asks the model that is watched, in the words of its own training dialogues.

    Args:
        dimensions: those of its training.
    """

    name = "self"

    def __init__(self, dimensions: Sequence[Dimension | dict[str, str]] | None = None) -> None:
        super().__init__(dimensions)
        self.model: Illume | None = None

    def watch(self, model: Illume) -> None:
        """Takes the model."""
        self.model = model

    def assess(self, prompts: Sequence[str], images: Tensor) -> list[Assessment | Unjudged]:
        """Its opinions; where it wrote something else, none."""
        return [opinion for opinion, _ in self.assess_with_confidence(prompts, images)]

    def assess_with_confidence(
        self, prompts: Sequence[str], images: Tensor
    ) -> list[tuple[Assessment | Unjudged, float]]:
        """Opinions, and the probability of "yes" against "no" where the overall verdict stands (0 without an opinion)."""
        if self.model is None:
            raise ValueError("the self judge has no model: watch(model) first")
        opinions: list[tuple[Assessment | Unjudged, float]] = []
        names = [dimension.name for dimension in self.dimensions]
        for start in range(0, len(prompts), BATCH):
            seen, asked = images[start : start + BATCH], prompts[start : start + BATCH]
            written = self.model.assess(seen, asked)
            read = [_read(text, names) for text in written]
            opened = [text.rpartition(OPEN_END)[0] + OPEN_END for text in written]
            sure = [i for i, opinion in enumerate(read) if isinstance(opinion, Assessment)]
            chances = dict.fromkeys(range(len(read)), 0.0)
            if sure:
                found = self.model.confidence(seen[sure], [asked[i] for i in sure], [opened[i] for i in sure])
                chances |= dict(zip(sure, found, strict=True))
            opinions += [(opinion, chances[i]) for i, opinion in enumerate(read)]
        return opinions


def _read(text: str, names: Sequence[str]) -> Assessment | Unjudged:
    try:
        return from_text(text, names)
    except ValueError as error:
        return Unjudged(str(error))
