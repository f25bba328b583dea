"""Padding and tokens by source as metrics, and what was skipped or cut in skipped.json of the run."""

import json
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from common.files import write_text
from datamodules.loader import RankLoader
from training.csv_logger import last_step

EVERY = 50  # steps between two records


class DataMetrics(Callback):
    """Logs `data/skipped` (samples so far), `data/packed` (real tokens over all) and `data/tokens_<source>`.

    `data/truncated` is how many documents were cut to fit a row, on all ranks. What was skipped and why, and cut, is
    in `skipped.json`.

    The rest is of each rank: rank 0's is logged, and every rank that skipped something writes a file of its own.
    """

    def __init__(self) -> None:
        self.served = 0  # batches that were recorded: a resume comes by the end of its epoch again

    def state_dict(self) -> dict[str, int]:
        return {"served": self.served}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.served = state_dict["served"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % EVERY == 0:
            self._record(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._record(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._write(trainer)

    def _record(self, trainer: Trainer) -> None:
        loader = self._write(trainer)
        if loader is None or loader.dataset.served == self.served:
            return
        self.served = loader.dataset.served
        metrics = {"data/skipped": float(loader.skipped.total)}
        if loader.capacity:  # images are not packed
            metrics["data/packed"] = loader.tokens.total() / loader.capacity
            metrics["data/truncated"] = float(sum(documents for documents, _ in loader.truncated().values()))
            metrics |= {f"data/tokens_{name}": float(n) for name, n in sorted(loader.tokens.items())}
        loader.tokens.clear()
        loader.capacity = 0
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=last_step(trainer))

    def _write(self, trainer: Trainer) -> RankLoader | None:
        """Writes skipped.json where something was skipped or cut; returns the loader, if it is one that counts."""
        loader = trainer.train_dataloader
        if not isinstance(loader, RankLoader) or trainer.fast_dev_run:
            return None
        counts = loader.truncated().items()
        truncated = {name: {"documents": n, "tokens": tokens} for name, (n, tokens) in counts}
        if loader.skipped.total or truncated:
            name = "skipped.json" if trainer.world_size == 1 else f"skipped-{trainer.global_rank}.json"
            content = {
                "skipped": loader.skipped.total,
                "delivered": dict(sorted(loader.skipped.delivered.items())),
                "fraction": round(loader.rate.fraction, 6),
                "truncated": truncated,
                "reasons": loader.skipped.rows(),
            }
            write_text(Path(trainer.default_root_dir) / name, json.dumps(content, indent=1) + "\n")
        return loader
