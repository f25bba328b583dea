"""Training on packed rows against padded batches of the same documents: `python -m benchmarks.packing [--json]`.

Real tokens per second (padding not counted), forward and backward, d512 x 4 layers, on the lengths of stage 3
(`stage3_lengths.json`) and on those of the playground's stage 2. The padded side is what most trainers do: so many
documents in random order, each in a row as long as the longest, under one mask. Both see the same documents.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import alternate, run
from benchmarks.language_models import llama, random_model
from common.json_files import read_object
from datamodules.packing import PackedReader
from models.language.unified_lm import UnifiedLM
from models.sequence import SEE, PackedBatch, Segment, collate

STAGE3 = Path(__file__).with_name("stage3_lengths.json")
WIDTH, LAYERS, FEATURES, IMAGE = 512, 4, 64, 36
PLAYGROUND = {  # text tokens of a document, and image tokens; shares as in stage2.yaml
    "sequence_length": 256,
    "tasks": [
        {"share": 0.47, "words": [48, 62], "seen": 0},
        {"share": 0.28, "words": [90, 120], "seen": IMAGE},
        {"share": 0.16, "words": [48, 62], "seen": IMAGE},
        {"share": 0.09, "words": [40, 100], "seen": 0},
    ],
}


def stage3_mix() -> dict[str, Any]:
    """The mix of `stage3_lengths.json`; its images are seen, 36 features at a time, as this small model takes them."""
    mix = read_object(STAGE3)
    tasks = [
        {"share": task["share"] / len(task["image_tokens"]), "words": task["words"], "seen": tokens}
        for task in mix["tasks"]
        for tokens in task["image_tokens"]
    ]
    return {"sequence_length": mix["sequence_length"], "tasks": tasks}


@dataclass
class Item:
    """What a packer takes."""

    value: Segment


class Documents:
    """Segments of the mix's lengths, with random text and images, without end."""

    def __init__(self, mix: dict[str, Any], seed: int) -> None:
        self.tasks, self.rng = mix["tasks"], random.Random(seed)

    def __next__(self) -> Item:
        task = self.rng.choices(self.tasks, [task["share"] for task in self.tasks])[0]
        segment = Segment()
        for block in range(task["seen"] // IMAGE):
            segment.add([0] * IMAGE, kind=SEE, block=block)
            segment.see_images.append(torch.zeros(3, 1, 1, dtype=torch.uint8))
        count = self.rng.randint(*task["words"]) + task["seen"] % IMAGE
        segment.add(self.rng.choices(range(1000), k=count), learn=True)
        return Item(segment)


def pack(mix: dict[str, Any], rows: int, count: int) -> Iterator[list[list[Segment]]]:
    """Yields batches of packed rows of documents."""
    packer = PackedReader(Documents(mix, 0), mix["sequence_length"])
    for _ in range(count):
        yield [[item.value for item in packer.row()] for _ in range(rows)]


def collate_rows(rows: list[list[Segment]], length: int) -> PackedBatch:
    """One batch of packed rows."""
    numbers = iter(range(sum(map(len, rows))))
    return collate(
        [s for row in rows for s in row], [[next(numbers) for _ in row] for row in rows], length, 0
    )


def batches(mix: dict[str, Any], rows: int, count: int) -> tuple[list[PackedBatch], list[PackedBatch]]:
    """The same documents packed, and padded in random order into as many batches."""
    packed = list(pack(mix, rows, count))
    documents = [segment for batch in packed for row in batch for segment in row]
    random.Random(1).shuffle(documents)
    size = -(-len(documents) // count)
    groups = [documents[start : start + size] for start in range(0, len(documents), size)]
    padded = [collate_rows([[segment] for segment in group], max(map(len, group))) for group in groups]
    return [collate_rows(batch, mix["sequence_length"]) for batch in packed], padded


def train(model: UnifiedLM, made: list[PackedBatch], backend: str) -> None:
    """Forward and backward passes."""
    model.backend = backend
    for batch in made:
        features = torch.zeros(len(batch.see_images), IMAGE, FEATURES)
        loss = model.loss(batch, features, torch.zeros(0, IMAGE, dtype=torch.long))
        model.zero_grad()
        loss.mean.backward()


def compare(mix: dict[str, Any], rows: int, count: int, rounds: int) -> dict[str, Any]:
    """Compares both sides on one mix."""
    model = random_model(llama(WIDTH, LAYERS, 1376, 4096), 1000, 64, FEATURES, IMAGE)
    packed, padded = batches(mix, rows, count)
    train(model, packed[:1], "auto"), train(model, padded[:1], "mask")
    pairs = alternate(lambda: train(model, padded, "mask"), lambda: train(model, packed, "auto"), rounds)
    real = sum(int((batch.documents >= 0).sum()) for batch in padded)
    return {
        "packed_tokens_per_second": round(real / pairs.our_median),
        "padded_tokens_per_second": round(real / pairs.their_median),
        **pairs.speedup("packed_over_padded", digits=3),
        "padding_of_padded": round(1 - real / sum(batch.ids.numel() for batch in padded), 3),
    }


def measure(rounds: int = 5) -> dict[str, Any]:
    """Compares both sides on both mixes.

    Args:
        rounds: of both sides.
    """
    return {
        "stage3": compare(stage3_mix(), rows=2, count=3, rounds=rounds),
        "playground": compare(PLAYGROUND, rows=12, count=4, rounds=rounds),
    }


if __name__ == "__main__":
    run(measure)
