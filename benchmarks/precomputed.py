"""Training on precomputed codes and features against computing them: `python -m benchmarks.precomputed [--json]`.

Steps per second, forward and backward with loading, of the playground's stage 2, with the model folder and the data of
`make demo`; both sides on the same documents.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.harness import alternate, run
from common.safe_yaml import read_yaml
from datamodules.document_datamodule import DocumentDataModule, SourceConfig
from datamodules.tokenize import tokenize
from models.sequence import PackedBatch
from models.unified import Illume

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "playground" / "stage2.yaml"
SHARDS = 1  # of each source: enough for a few dozen steps


def loader(model: Illume, sources: dict[str, Any], fingerprints: dict[str, str]) -> Iterator[PackedBatch]:
    """Batches of stage 2."""
    configs = {name: SourceConfig(**source) for name, source in sources.items()}
    data = DocumentDataModule(configs, batches_per_epoch=10**6)
    stage = SimpleNamespace(sequencer=model.sequencer, fingerprints=fingerprints, model=model, models=[model])
    data.trainer = SimpleNamespace(lightning_module=stage)
    data.setup()
    return iter(data.train_dataloader())


def train(model: Illume, batches: Iterator[PackedBatch], steps: int) -> None:
    """Steps without an optimizer: load, encode what is not precomputed, forward, backward."""
    for _ in range(steps):
        batch = next(batches)
        loss = model.language.loss(batch, *model.encode_images(batch))
        model.zero_grad()
        loss.mean.backward()


def measure(rounds: int = 5, steps: int = 20, runs: Path = Path("runs/playground")) -> dict[str, Any]:
    """Compares both sides.

    Args:
        rounds: of both sides.
        steps: of each measurement.
        runs: folder of the playground's runs.
    """
    model = Illume.from_pretrained(str(runs / "stage2" / "model"))
    model.encoder.requires_grad_(False)
    model.tokenizer.requires_grad_(False)
    fingerprints = {
        "codes": model.fingerprint("encoder", "tokenizer"),
        "features": model.fingerprint("encoder"),
    }
    config = read_yaml(CONFIG)["data"]["init_args"]["sources"]
    with tempfile.TemporaryDirectory() as folder:
        images, precomputed = {}, {}
        for name, source in config.items():
            data = runs / "data" / Path(source["shards"]).name
            shards = [str(path) for path in sorted(data.glob("*.tar"))[:SHARDS]]
            tokenized = Path(folder) / data.name
            if not tokenized.exists():
                tokenize(model, shards, tokenized, features=True)
            shared = {"template": source["template"], "weight": source["weight"]}
            images[name] = {"shards": shards, **shared}
            precomputed[name] = {"shards": str(tokenized), **shared}
        sides = loader(model, images, {}), loader(model, precomputed, fingerprints)
        for side in sides:
            train(model, side, 3)
        pairs = alternate(*(lambda side=side: train(model, side, steps) for side in sides), rounds)
    return {
        "on_the_fly_steps_per_second": round(steps / pairs.their_median, 3),
        "precomputed_steps_per_second": round(steps / pairs.our_median, 3),
        **pairs.speedup("precomputed_over_on_the_fly", digits=3),
    }


if __name__ == "__main__":
    run(measure)
