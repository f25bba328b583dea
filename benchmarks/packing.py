"""Training on packed rows against padded batches of the same documents: `python -m benchmarks.packing [--json]`.

Real tokens per second (padding not counted), forward and backward, d512 x 4 layers, on the lengths of stage 3
(`stage3_lengths.json`) and on those of the playground's stage 2. The padded side is what most trainers do: so many
documents in random order, each in a row as long as the longest, under one mask. Both see the same documents, in turn.
"""

import json
import random
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import command, over, show
from benchmarks.sizes import llama
from datamodules.packing import Packer
from models.language.unified_lm import UnifiedLM
from models.sequence import SEE, PackedBatch, Segment, collate

HERE = Path(__file__).resolve().parent
WIDTH, LAYERS, FEATURES, IMAGE = 512, 4, 64, 36
PLAYGROUND = {  # tokens of a document, of which seen; shares as in stage2.yaml
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
    mix = json.loads((HERE / "stage3_lengths.json").read_text(encoding="utf-8"))
    tasks = [
        {"share": task["share"] / len(task["image_tokens"]), "words": task["words"], "seen": tokens}
        for task in mix["tasks"]
        for tokens in task["image_tokens"]
    ]
    return {"sequence_length": mix["sequence_length"], "tasks": tasks}


class Documents:
    """Segments of the mix's lengths, with random words and images, for ever."""

    def __init__(self, mix: dict[str, Any], seed: int) -> None:
        self.tasks, self.rng = mix["tasks"], random.Random(seed)

    def __next__(self) -> "Item":
        task = self.rng.choices(self.tasks, [task["share"] for task in self.tasks])[0]
        segment = Segment()
        for block in range(task["seen"] // IMAGE):
            segment.add([0] * IMAGE, kind=SEE, block=block)
            segment.images.append(torch.zeros(3, 1, 1, dtype=torch.uint8))
            segment.image_uses.append(SEE)
        count = self.rng.randint(*task["words"]) + task["seen"] % IMAGE
        segment.add([self.rng.randrange(1000) for _ in range(count)], learn=True)
        return Item(segment)


class Item:
    """What a packer takes."""

    def __init__(self, value: Segment) -> None:
        self.value = value


def batches(mix: dict[str, Any], rows: int, count: int) -> tuple[list[PackedBatch], list[PackedBatch]]:
    """The same documents packed, and padded in random order into as many batches."""
    packer = Packer(Documents(mix, 0), mix["sequence_length"])
    packed, everything = [], []
    for _ in range(count):
        groups = [[item.value for item in packer.row()] for _ in range(rows)]
        segments = [segment for group in groups for segment in group]
        numbers = iter(range(len(segments)))
        packed.append(
            collate(segments, [[next(numbers) for _ in g] for g in groups], mix["sequence_length"], 0)
        )
        everything += segments
    random.Random(1).shuffle(everything)
    size = -(-len(everything) // count)
    parts = [everything[start : start + size] for start in range(0, len(everything), size)]
    padded = [collate(part, [[i] for i in range(len(part))], max(map(len, part)), 0) for part in parts]
    return packed, padded


def speed(model: UnifiedLM, made: list[PackedBatch], backend: str) -> float:
    """Real tokens per second of forward and backward passes."""
    model.backend = backend
    start = time.perf_counter()
    for batch in made:
        features = torch.zeros(len(batch.see_images), IMAGE, FEATURES)
        loss = model.loss(batch, features, torch.zeros(0, IMAGE, dtype=torch.long))
        model.zero_grad()
        loss.mean.backward()
    return sum(int((batch.documents >= 0).sum()) for batch in made) / (time.perf_counter() - start)


def compare(mix: dict[str, Any], rows: int, count: int, rounds: int) -> dict[str, Any]:
    """Both sides in turn."""
    torch.manual_seed(0)
    model = UnifiedLM(llama(WIDTH, LAYERS, 1376, 4096), 1000, 64, FEATURES, IMAGE, IMAGE)
    packed, padded = batches(mix, rows, count)
    speed(model, packed[:1], "auto"), speed(model, padded[:1], "mask")
    pairs = [(speed(model, padded, "mask"), speed(model, packed, "auto")) for _ in range(rounds)]
    ratios = [ours / theirs for theirs, ours in pairs]
    real = sum(int((batch.documents >= 0).sum()) for batch in padded)
    return {
        "packed_tokens_per_second": round(statistics.median(ours for _, ours in pairs)),
        "padded_tokens_per_second": round(statistics.median(theirs for theirs, _ in pairs)),
        **over(ratios, "packed_over_padded"),
        "padding_of_padded": round(1 - real / sum(batch.ids.numel() for batch in padded), 3),
    }


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = command("packing", __doc__)
    options = parser.parse_args(arguments)
    found = {
        "stage3": compare(stage3_mix(), rows=2, count=3, rounds=options.rounds),
        "playground": compare(PLAYGROUND, rows=12, count=4, rounds=options.rounds),
        "versions": {"torch": torch.__version__},
        "threads": torch.get_num_threads(),
    }
    show(found, options.json)


if __name__ == "__main__":
    main()
