"""How much a micro-batch holds, by the templates of its documents: images are known exactly, words are assumed."""

import math
from typing import Any, NamedTuple

from datamodules.document_datamodule import DocumentDataModule
from models.language.unified_lm import UnifiedLM
from models.unified import Illume

# Of an image that is seen in slices, its thumbnail not counted (assumed; nine at most in the paper).
SLICES = 4
EDGES = 2  # begin_image and end_image


class Sample(NamedTuple):
    """One template's sample: tokens of given and target texts (assumed), seen and drawn images."""

    given: int
    target: int
    seen: int = 0
    drawn: int = 0
    same: bool = False  # whether what is drawn is what is seen

    def for_model(self, model: Illume) -> "Sample":
        """The same for a model that may have no encoder and no codes yet."""
        seen = 0 if model.encoder is None else self.seen
        return self._replace(seen=seen, drawn=0 if model.tokenizer is None else self.drawn)


SAMPLES = {  # by template
    "draw": Sample(27, 0, drawn=1),
    "describe": Sample(4, 24, seen=1),
    "detail": Sample(6, 60, seen=1),
    "reconstruct": Sample(4, 0, seen=1, drawn=1, same=True),
    "edit": Sample(20, 0, seen=1, drawn=1),
    "conversation": Sample(20, 60, seen=1),
    "document": Sample(20, 20, seen=1),
    "text": Sample(0, 400),
}


class Workload(NamedTuple):
    """What one micro-batch holds on one device: (B, L) of the packed tokens, or images a batch and 0.

    `encoded` are images that the tokenizer's encoder reads, `texts` and `codes` are target tokens.
    """

    rows: int
    length: int
    seen: int
    drawn: int
    encoded: int
    texts: int
    codes: int
    samples: float


def workloads(data: Any, model: Illume) -> tuple[Workload, Workload]:
    """The mean micro-batch of some data, and the one that takes the most memory."""
    if isinstance(data, DocumentDataModule):
        return _mean(data, model), _largest(data, model)
    images = Workload(data.batch_size, 0, 0, 0, data.batch_size, 0, 0, data.batch_size)
    return images, images


def _mean(data: DocumentDataModule, model: Illume) -> Workload:
    """The mixture as it comes on average; rows are taken to be full."""
    language = model.language
    total = sum(source.weight for source in data.sources.values())
    tokens = seen = drawn = same = texts = 0.0
    for source in data.sources.values():
        share, sample = source.weight / total, SAMPLES[source.template].for_model(model)
        slices = sample.seen * _slices(sample, language)
        tokens += share * min(_tokens(sample, slices, language), data.sequence_length)
        seen, drawn, same = seen + share * slices, drawn + share * sample.drawn, same + share * sample.same
        texts += share * (sample.target + len(language.turns.end))
    samples = data.sequences_per_batch * data.sequence_length / tokens
    seen, drawn, same, texts = (round(samples * number) for number in (seen, drawn, same, texts))
    encoded = seen + drawn - same if model.understanding_encoder is None else drawn
    codes, size = drawn * language.draw_tokens, (data.sequences_per_batch, data.sequence_length)
    return Workload(*size, seen, drawn, encoded, texts, codes, samples)


def _largest(data: DocumentDataModule, model: Illume) -> Workload:
    """Rows full of images, as many as fit, and every token a target."""
    language, rows, length = model.language, data.sequences_per_batch, data.sequence_length
    templates = [source.template for source in data.sources.values() if source.weight > 0]
    samples = [SAMPLES[template].for_model(model) for template in templates]
    seen = rows * (length // (language.see_tokens + EDGES)) if any(s.seen for s in samples) else 0
    drawn = rows * (length // (language.draw_tokens + EDGES)) if any(s.drawn for s in samples) else 0
    encoded = max(seen, drawn) if model.understanding_encoder is None else drawn
    texts, codes = (0, rows * length) if drawn else (rows * length, 0)
    return Workload(rows, length, seen, drawn, encoded, texts, codes, math.nan)


def _slices(sample: Sample, language: UnifiedLM) -> int:
    """Squares that one seen image becomes."""
    slicing = language.slicing
    if slicing is None or sample.drawn:
        return 1
    slices = min(slicing.max_slices, SLICES)
    return slices + (slicing.thumbnail and slices > 1)


def _tokens(sample: Sample, slices: int, language: UnifiedLM) -> int:
    turns = language.turns
    around = len(turns.begin) + len(turns.assistant) + len(turns.end)
    around += len(turns.user) if sample.given or sample.seen else 0
    row_ends = round(math.sqrt(slices)) + 1 if slices > 1 else 0
    images = slices * (language.see_tokens + EDGES) + sample.drawn * (language.draw_tokens + EDGES)
    return around + sample.given + sample.target + images + row_ends
