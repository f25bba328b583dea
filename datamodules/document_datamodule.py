"""Documents for the language model: sources mixed by weight, made into documents, packed into rows."""

import random
from functools import partial
from typing import Any, TypedDict

import lightning as L
from torch.utils.data import DataLoader
from typing_extensions import NotRequired

from datamodules.loader import BatchStream, RankLoader, world
from datamodules.stream import MixedStream, Sample, Source, find_shards
from datamodules.templates import TEMPLATES
from models.sequence import PackedBatch, Segment, Sequencer, collate, pack_tightly


class SourceConfig(TypedDict):
    """A source in YAML: a folder (or pattern) of shards, a template's name, a weight, and fixed validation shards."""

    shards: str
    template: str
    weight: float
    val: NotRequired[str]


class DocumentDataModule(L.LightningDataModule):
    """Streams packed documents.

    Args:
        sources: by name.
        documents_per_batch: documents in each batch.
        sequence_length: most tokens in a row; the number of rows follows, then the least length that holds them.
        image_size: side that images are decoded to.
        batches_per_epoch: length of a declared epoch.
        val_batches: batches of the fixed validation set.
        workers: processes that read and pack.
        drop: share of captions and instructions replaced by the null prompt.
        seed: of order, mixture and dropping.
    """

    def __init__(
        self,
        sources: dict[str, SourceConfig],
        documents_per_batch: int = 32,
        sequence_length: int = 256,
        image_size: int = 48,
        batches_per_epoch: int = 500,
        val_batches: int = 10,
        workers: int = 1,
        drop: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        unknown = {c["template"] for c in sources.values()} - set(TEMPLATES)
        if unknown:
            raise ValueError(
                f"unknown template {', '.join(sorted(unknown))}; there is: {', '.join(TEMPLATES)}"
            )
        self.sources, self.documents_per_batch, self.sequence_length = (
            sources,
            documents_per_batch,
            sequence_length,
        )
        self.image_size, self.batches_per_epoch, self.val_batches = image_size, batches_per_epoch, val_batches
        self.workers, self.drop, self.seed = workers, drop, seed

    def setup(self, stage: str | None = None) -> None:
        """Finds the shards, so that a missing set is told before anything is built."""
        self.shards = {name: find_shards(c["shards"]) for name, c in self.sources.items()}
        self.val_shards = {name: find_shards(c["val"]) for name, c in self.sources.items() if "val" in c}

    @property
    def sequencer(self) -> Sequencer:
        """The model's own, so that training asks as inference does."""
        return self.trainer.lightning_module.sequencer

    def _streams(self, shards: dict[str, list[str]], seed: int) -> Any:
        sources = {
            name: Source(
                found,
                self.sources[name]["weight"],
                partial(_segment, self.sequencer, self.sources[name]["template"], self.image_size, self.drop),
            )
            for name, found in shards.items()
        }
        return partial(MixedStream, sources, seed)

    def _collate(self, segments: list[Segment]) -> PackedBatch:
        rows, length = pack_tightly([len(s) for s in segments], self.sequence_length)
        return collate(segments, rows, length, self.sequencer.vocabulary.special("pad"))

    def train_dataloader(self) -> RankLoader:
        """Batches of this epoch."""
        stream = BatchStream(
            self._streams(self.shards, self.seed),
            self._collate,
            self.documents_per_batch,
            self.batches_per_epoch,
        )
        return RankLoader(
            stream, batch_size=None, num_workers=self.workers, prefetch_factor=4 if self.workers else None
        )

    def val_dataloader(self) -> DataLoader | list:
        """The fixed validation set: made once, the same batches ever after (each rank its share)."""
        if not self.val_shards:
            return []
        if not hasattr(self, "_val"):
            stream = iter(self._streams(self.val_shards, 12345)(*world()))
            self._val = [
                self._collate([next(stream) for _ in range(self.documents_per_batch)])
                for _ in range(self.val_batches)
            ]
        return DataLoader(self._val, batch_size=None)


def _segment(
    sequencer: Sequencer, template: str, size: int, drop: float, sample: Sample, rng: random.Random
) -> Segment:
    return sequencer.segment(TEMPLATES[template](sample, size, rng, drop))
