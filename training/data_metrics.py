"""What the data were: padding and tokens by source as metrics, and what was skipped in skipped.json of the run."""

import json
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from common.files import write_text
from datamodules.loader import RankLoader
from training.csv_logger import last_step

EVERY = 50  # steps between two looks


class DataMetrics(Callback):
    """Logs `data/skipped` (samples so far), `data/packed` (real tokens over all) and `data/tokens_<source>`.

    `data/cut` is how many documents were cut to fit a row, by all ranks. Of what was skipped, and why, and of what was
    cut, it keeps `skipped.json`.

    Each rank's own part: in a run of several, rank 0's is what is logged, and every rank that skipped something writes
    a file of its own.
    """

    def __init__(self) -> None:
        self.served = 0  # batches that were told of: a resume comes by the end of its epoch again

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
        loader = trainer.train_dataloader
        if not isinstance(loader, RankLoader) or trainer.fast_dev_run:
            return
        self._write(trainer)
        if loader.deliveries.served == self.served:
            return
        self.served = loader.deliveries.served
        cut = loader.cut()
        found = {"data/skipped": float(loader.skipped.total)}
        if loader.room:  # images are not packed
            found["data/packed"] = loader.tokens.total() / loader.room
            found["data/cut"] = float(sum(documents for documents, _ in cut.values()))
            found |= {f"data/tokens_{name}": float(count) for name, count in sorted(loader.tokens.items())}
        loader.tokens.clear()
        loader.room = 0
        for logger in trainer.loggers:
            logger.log_metrics(found, step=last_step(trainer))

    def _write(self, trainer: Trainer) -> None:
        loader = trainer.train_dataloader
        if not isinstance(loader, RankLoader) or trainer.fast_dev_run:
            return
        cut = {name: {"documents": n, "tokens": tokens} for name, (n, tokens) in loader.cut().items()}
        if not loader.skipped.total and not cut:
            return
        name = "skipped.json" if trainer.world_size == 1 else f"skipped-{trainer.global_rank}.json"
        found = {
            "skipped": loader.skipped.total,
            "given": dict(sorted(loader.skipped.given.items())),
            "fraction": round(loader.rate.fraction, 6),
            "cut": cut,
            "reasons": loader.skipped.rows(),
        }
        write_text(Path(trainer.default_root_dir) / name, json.dumps(found, indent=1) + "\n")
