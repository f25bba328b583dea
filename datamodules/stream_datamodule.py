"""The base of datamodules: endless training batches out of shards, and a fixed validation set."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from common.checks import check_sizes
from datamodules.loader import READERS, RankLoader, Reader, rank_and_world_size
from datamodules.skips import SkipTally
from datamodules.source_stream import Source
from datamodules.stream import MixedStream

VAL_SEED = 12345
Shards = Mapping[str, list[str]]  # by source


@dataclass(frozen=True)
class ReaderFactory:
    """Opens the reader of one share of the data, in a worker process."""

    sources: Mapping[str, Source]
    make_reader: Callable[[MixedStream], Reader]
    seed: int
    max_skipped_fraction: float = 1.0

    def __call__(self, shard_id: int, num_shards: int) -> Reader:
        """The reader of share `shard_id` of `num_shards`."""
        stream = MixedStream(self.sources, self.seed, shard_id, num_shards, self.max_skipped_fraction)
        return self.make_reader(stream)


class StreamDataModule(L.LightningDataModule, ABC):
    """Streams batches of one or several sources of shards.

    Args:
        batches_per_epoch: length of a declared epoch, on each rank.
        val_batches: batches of the fixed validation set.
        workers: processes that read.
        readers: shares that a rank's data are read in, whatever the number of workers.
        max_skipped_fraction: largest share of samples that may be skipped before the run stops.
        seed: of order and mixture.

    Raises:
        ValueError: a number makes no sense.
    """

    def __init__(
        self,
        batches_per_epoch: int = 500,
        val_batches: int = 10,
        workers: int = 1,
        readers: int = READERS,
        max_skipped_fraction: float = 0.01,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_sizes("data", batches_per_epoch=batches_per_epoch, readers=readers)
        check_sizes("data", 0, val_batches=val_batches, workers=workers)
        self.batches_per_epoch, self.val_batches = batches_per_epoch, val_batches
        self.workers, self.readers, self.seed = workers, readers, seed
        self.max_skipped_fraction = max_skipped_fraction
        self.train_shards: Shards = {}
        self.val_shards: Shards = {}
        self._loader: RankLoader | None = None
        self._val: Any = None

    @abstractmethod
    def open_reader(self, shards: Shards, seed: int, max_skipped_fraction: float = 1.0) -> ReaderFactory:
        """What opens the readers of these shards; it can be sent to a worker process."""

    @property
    def stage(self) -> Any:
        """The StageModule that learns from the batches (`lightning_modules/stage_module.py`)."""
        return self.trainer and self.trainer.lightning_module

    def train_dataloader(self) -> RankLoader:
        """Batches of this epoch."""
        limit = self.max_skipped_fraction
        readers = self.open_reader(self.train_shards, self.seed, limit)
        self._loader = RankLoader(readers, self.batches_per_epoch, self.workers, self.readers, limit)
        return self._loader

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """The fixed validation set: made once, the same batches ever after (each rank its share)."""
        if not self.val_shards:
            return []
        if self._val is None:
            reader = self.open_reader(self.val_shards, VAL_SEED)(*rank_and_world_size())
            self._val = [reader.batch().value for _ in range(self.val_batches)]
            SkipTally().add(reader.stream.take_counts()[0])  # logs them
        return DataLoader(self._val, batch_size=None)
