"""How many tokens a sample takes, by its template: images are known exactly, words are assumed."""

import math
from typing import NamedTuple

from datamodules.document_datamodule import DocumentDataModule
from models.language.unified_lm import UnifiedLM
from models.unified import Illume

# Of an image that is seen in slices, its thumbnail not counted (assumed; nine at most in the paper).
SLICES = 4
EDGES = 2  # begin_image and end_image


class Kind(NamedTuple):
    """One template's sample: tokens of given and learned words (assumed), seen and drawn images, and its turns."""

    given: int
    learned: int
    seen: int = 0
    drawn: int = 0
    alike: bool = False  # whether what is drawn is what is seen


KINDS = {
    "draw": Kind(27, 0, drawn=1),
    "describe": Kind(4, 24, seen=1),
    "detail": Kind(6, 60, seen=1),
    "reconstruct": Kind(4, 0, seen=1, drawn=1, alike=True),
    "edit": Kind(20, 0, seen=1, drawn=1),
    "conversation": Kind(20, 60, seen=1),
    "document": Kind(20, 20, seen=1),
    "text": Kind(0, 400),
}


class Load(NamedTuple):
    """What one micro-batch holds on one device.

    Attributes:
        rows, length: (B, L) of the packed tokens, or images a batch and 0.
        seen, drawn: images of each use.
        encoded: images that the tokenizer's encoder reads.
        words, codes: learned tokens.
        samples: documents or images.
    """

    rows: int
    length: int
    seen: int
    drawn: int
    encoded: int
    words: int
    codes: int
    samples: float


def kind_of(template: str, illume: Illume) -> Kind:
    """A template's sample, for a model that may have no eyes and no codes yet."""
    kind = KINDS[template]
    seen = 0 if illume.encoder is None else kind.seen
    return kind._replace(seen=seen, drawn=0 if illume.tokenizer is None else kind.drawn)


def mean_load(data: DocumentDataModule, illume: Illume) -> Load:
    """A micro-batch of the mixture as it comes on average; rows are taken to be full."""
    model, shared = illume.language, illume.understanding_encoder is None
    weights = {name: source["weight"] for name, source in data.sources.items()}
    total = sum(weights.values())
    sums = dict.fromkeys(("tokens", "seen", "drawn", "both", "words"), 0.0)
    for name, source in data.sources.items():
        share, kind = weights[name] / total, kind_of(source["template"], illume)
        looks = kind.seen * _looks(kind, model)
        sums["tokens"] += share * min(_tokens(kind, looks, model), data.sequence_length)
        sums["seen"] += share * looks
        sums["drawn"] += share * kind.drawn
        sums["both"] += share * kind.alike
        sums["words"] += share * (kind.learned + len(model.turns.end))
    samples = data.sequences_per_batch * data.sequence_length / sums["tokens"]
    seen, drawn = round(samples * sums["seen"]), round(samples * sums["drawn"])
    both = round(samples * sums["both"])
    return Load(
        data.sequences_per_batch,
        data.sequence_length,
        seen,
        drawn,
        seen + drawn - both if shared else drawn,
        round(samples * sums["words"]),
        drawn * model.draw_tokens,
        samples,
    )


def largest_load(data: DocumentDataModule, illume: Illume) -> Load:
    """A micro-batch that takes the most memory: rows full of images, as many as fit, and every token learned."""
    model, shared = illume.language, illume.understanding_encoder is None
    kinds = [kind_of(source["template"], illume) for source in data.sources.values() if source["weight"] > 0]
    rows, length = data.sequences_per_batch, data.sequence_length
    seen = rows * (length // (model.see_tokens + EDGES)) if any(kind.seen for kind in kinds) else 0
    drawn = rows * (length // (model.draw_tokens + EDGES)) if any(kind.drawn for kind in kinds) else 0
    encoded = max(seen, drawn) if shared else drawn
    learned = rows * length
    words = 0 if drawn else learned
    return Load(rows, length, seen, drawn, encoded, words, learned - words, math.nan)


def _looks(kind: Kind, model: UnifiedLM) -> int:
    """Squares that one seen image becomes."""
    slicing = model.slicing
    if slicing is None or kind.drawn:
        return 1
    slices = min(slicing.most, SLICES)
    return slices + (slicing.thumbnail and slices > 1)


def _tokens(kind: Kind, looks: int, model: UnifiedLM) -> int:
    turns = model.turns
    around = len(turns.begin) + len(turns.assistant) + len(turns.end)
    around += len(turns.user) if kind.given or kind.seen else 0
    row_ends = round(math.sqrt(looks)) + 1 if looks > 1 else 0
    images = looks * (model.see_tokens + EDGES) + kind.drawn * (model.draw_tokens + EDGES)
    return around + kind.given + kind.learned + images + row_ends
