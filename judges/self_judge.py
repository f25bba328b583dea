"""The model as the judge of its own drawings."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from judges.assessment import DIMENSIONS, OVERALL, Assessment, Dimension, from_text
from judges.judge import Judge, Opinion, Unjudged
from models.unified import Illume

BATCH = 100


class SelfAssessment(NamedTuple):
    """The model's opinion of a drawing, and its probability of "yes" as the overall verdict (0 without an assessment)."""

    opinion: Opinion
    confidence: float

    @property
    def verdict(self) -> bool | None:
        """The overall verdict; None where the model wrote no assessment."""
        return self.opinion.overall if isinstance(self.opinion, Assessment) else None


class SelfJudge(Judge):
    """Has the model assess its drawings in the wording of its own training dialogues, whose dimensions these are."""

    name = "self"

    def __init__(self, dimensions: tuple[Dimension, ...] = DIMENSIONS) -> None:
        super().__init__(dimensions)
        self._model: Illume | None = None

    def set_model(self, model: Illume) -> None:
        """Takes the model."""
        self._model = model

    @property
    def model(self) -> Illume:
        """The model.

        Raises:
            ValueError: none was set.
        """
        if self._model is None:
            raise ValueError("the self judge has no model: call set_model(model) first")
        return self._model

    def assess(self, prompts: Sequence[str], images: Tensor) -> list[Opinion]:
        """Its opinions; unjudged where it wrote no assessment, or one of other dimensions."""
        return [self._read(text) for text in self._write(prompts, images)]

    def assess_with_confidence(self, prompts: Sequence[str], images: Tensor) -> list[SelfAssessment]:
        """Opinions, and how confident the model is of each overall verdict."""
        texts = self._write(prompts, images)
        opinions = [self._read(text) for text in texts]
        confidences = [0.0] * len(texts)
        readable = [i for i, opinion in enumerate(opinions) if isinstance(opinion, Assessment)]
        for start in range(0, len(readable), BATCH):
            batch = readable[start : start + BATCH]
            begun = [texts[i].rpartition(OVERALL)[0] + OVERALL for i in batch]
            found = self.model.confidence(images[batch], [prompts[i] for i in batch], begun)
            for i, confidence in zip(batch, found, strict=True):
                confidences[i] = confidence
        return list(map(SelfAssessment, opinions, confidences))

    def _write(self, prompts: Sequence[str], images: Tensor) -> list[str]:
        """The texts of its assessments."""
        return [
            text
            for start in range(0, len(prompts), BATCH)
            for text in self.model.assess_batch(images[start : start + BATCH], prompts[start : start + BATCH])
        ]

    def _read(self, text: str) -> Opinion:
        try:
            assessment = from_text(text)
        except ValueError as error:
            return Unjudged(str(error))
        if set(assessment.verdicts) != {dimension.name for dimension in self.dimensions}:
            return Unjudged(f"the model wrote of other dimensions: {', '.join(assessment.verdicts)}")
        return assessment
