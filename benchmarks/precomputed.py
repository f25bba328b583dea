"""Training on codes made ahead of time against codes on the fly: `python -m benchmarks.precomputed [--json]`.

Steps per second, forward and backward with loading, of the playground's stage 2, with the
model folder and the data of `make demo`; both sides in turn, on the same documents.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import yaml

from benchmarks.harness import over, show
from common.paths import user_path
from datamodules import tokenize
from datamodules.document_datamodule import DocumentDataModule
from models.sequence import PackedBatch
from models.unified import Illume

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "playground" / "stage2.yaml"
SHARDS = 1  # of each source: enough for a few dozen steps


def loader(model: Illume, sources: dict[str, Any], stamps: dict[str, str]) -> Iterator[PackedBatch]:
    """Batches of stage 2."""
    data = DocumentDataModule(sources, batches_per_epoch=10**6)
    data.trainer = SimpleNamespace(lightning_module=SimpleNamespace(sequencer=model.sequencer, fingerprints=stamps))
    data.setup()
    return iter(data.train_dataloader())


def speed(model: Illume, batches: Iterator[PackedBatch], steps: int) -> float:
    """Steps per second: load, encode what is not encoded, forward, backward."""
    start = time.perf_counter()
    for _ in range(steps):
        batch = next(batches)
        loss = model.language.loss(batch, *model.inputs(batch))
        model.zero_grad()
        loss.mean.backward()
    return steps / (time.perf_counter() - start)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.precomputed", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--runs", type=user_path, default=Path("runs/playground"), help="default: %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="of each measurement")
    parser.add_argument("--json", action="store_true", help="JSON alone")
    options = parser.parse_args(arguments)
    model = Illume.from_pretrained(str(options.runs / "stage2" / "model"))
    model.encoder.requires_grad_(False)
    model.tokenizer.requires_grad_(False)
    stamps = {"codes": model.stamp("encoder", "tokenizer"), "features": model.stamp("encoder")}
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["data"]["init_args"]["sources"]
    with tempfile.TemporaryDirectory() as folder:
        plain, ahead = {}, {}
        for name, source in config.items():
            place = options.runs / "data" / Path(source["shards"]).name
            shards = [str(path) for path in sorted(place.glob("*.tar"))[:SHARDS]]
            made = Path(folder) / place.name
            if not made.exists():
                tokenize.tokenize(model, shards, made, features=True)
            kind = {"template": source["template"], "weight": source["weight"]}
            plain[name], ahead[name] = {"shards": shards, **kind}, {"shards": str(made), **kind}
        sides = loader(model, plain, {}), loader(model, ahead, stamps)
        for side in sides:
            speed(model, side, 3)
        pairs = [tuple(speed(model, side, options.steps) for side in sides) for _ in range(options.rounds)]
    ratios = [codes / fly for fly, codes in pairs]
    found = {
        "on_the_fly_steps_per_second": round(statistics.median(fly for fly, _ in pairs), 3),
        "made_ahead_steps_per_second": round(statistics.median(codes for _, codes in pairs), 3),
        **over(ratios, "made_ahead_over_on_the_fly"),
        "versions": {"torch": torch.__version__},
        "threads": torch.get_num_threads(),
    }
    show(found, options.json)


if __name__ == "__main__":
    main()
