"""The model as the judge of its own drawings."""

from collections.abc import Sequence

from torch import Tensor

from judges.assessment import OPEN_END, Assessment, Dimension, from_text
from judges.judge import Judge, Unjudged
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

    def set_model(self, model: Illume) -> None:
        """Takes the model."""
        self.model = model

    def assess(self, prompts: Sequence[str], images: Tensor) -> list[Assessment | Unjudged]:
        """Its opinions; where it wrote something else, or of other dimensions, none."""
        return [opinion for opinion, _ in self._written(prompts, images)]

    def _of_mine(self, opinion: Assessment | Unjudged) -> Assessment | Unjudged:
        asked = {dimension.name for dimension in self.dimensions}
        if isinstance(opinion, Assessment) and set(opinion.verdicts) != asked:
            return Unjudged(f"the model wrote of other dimensions: {', '.join(opinion.verdicts)}")
        return opinion

    def assess_with_confidence(
        self, prompts: Sequence[str], images: Tensor
    ) -> list[tuple[Assessment | Unjudged, float]]:
        """Opinions, and the probability of "yes" against "no" where the overall verdict stands (0 without an opinion)."""
        written = self._written(prompts, images)
        sure = [i for i, (opinion, _) in enumerate(written) if isinstance(opinion, Assessment)]
        chances = [0.0] * len(written)
        for start in range(0, len(sure), BATCH):
            part = sure[start : start + BATCH]
            begun = [written[i][1].rpartition(OPEN_END)[0] + OPEN_END for i in part]
            found = self._model().confidence(images[part], [prompts[i] for i in part], begun)
            for i, chance in zip(part, found, strict=True):
                chances[i] = chance
        return [(opinion, chance) for (opinion, _), chance in zip(written, chances, strict=True)]

    def _model(self) -> Illume:
        if self.model is None:
            raise ValueError("the self judge has no model: set_model(model) first")
        return self.model

    def _written(self, prompts: Sequence[str], images: Tensor) -> list[tuple[Assessment | Unjudged, str]]:
        """Opinions, and the words that they were read from."""
        texts = [
            text
            for start in range(0, len(prompts), BATCH)
            for text in self._model().assess_batch(
                images[start : start + BATCH], prompts[start : start + BATCH]
            )
        ]
        return [(self._of_mine(_read(text)), text) for text in texts]


def _read(text: str) -> Assessment | Unjudged:
    try:
        return from_text(text)
    except ValueError as error:
        return Unjudged(str(error))
