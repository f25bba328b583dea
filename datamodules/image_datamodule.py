"""Images with detailed captions, for the stages before the language model: encoder, tokenizer, detokenizer."""

import random
from typing import NamedTuple

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.decode import sample_image
from datamodules.loader import BatchStream, RankLoader, world
from datamodules.stream import MixedStream, Sample, Source, find_shards


class ImageBatch(NamedTuple):
    """images (B, 3, H, W) uint8; captions (B, T) text ids, padded by -1 (empty where no text tokenizer is)."""

    images: Tensor
    captions: Tensor


class ImageDataModule(L.LightningDataModule):
    """Streams images of raw pairs.

    Args:
        shards: folder or pattern of the training shards.
        val: the same for validation.
        image_size: side that images are decoded to.
        batch_size: images a batch.
        batches_per_epoch: length of a declared epoch.
        val_batches: batches of the fixed validation set.
        workers: processes that read.
        seed: of the order.
    """

    def __init__(
        self,
        shards: str,
        val: str,
        image_size: int = 48,
        batch_size: int = 32,
        batches_per_epoch: int = 500,
        val_batches: int = 8,
        workers: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.shards, self.val, self.image_size, self.batch_size = shards, val, image_size, batch_size
        self.batches_per_epoch, self.val_batches, self.workers, self.seed = (
            batches_per_epoch,
            val_batches,
            workers,
            seed,
        )

    def setup(self, stage: str | None = None) -> None:
        """Finds the shards, so that a missing set is told before anything is built."""
        self.found, self.found_val = find_shards(self.shards), find_shards(self.val)

    def _stream(self, shards: list[str], seed: int, part: int, parts: int) -> MixedStream:
        tokenizer = getattr(self.trainer.lightning_module, "text_tokenizer", None)

        def convert(sample: Sample, rng: random.Random) -> tuple[Tensor, list[int]]:
            words = sample["dense.txt"].decode() if tokenizer is not None else ""
            ids = tokenizer(words, add_special_tokens=False)["input_ids"] if words else []
            return sample_image(sample, self.image_size), ids

        return MixedStream({"images": Source(shards, 1.0, convert)}, seed, part, parts)

    def train_dataloader(self) -> RankLoader:
        """Batches of this epoch."""
        stream = BatchStream(
            lambda part, parts: self._stream(self.found, self.seed, part, parts),
            collate_images,
            self.batch_size,
            self.batches_per_epoch,
        )
        return RankLoader(
            stream, batch_size=None, num_workers=self.workers, prefetch_factor=4 if self.workers else None
        )

    def val_dataloader(self) -> DataLoader:
        """The fixed validation set, made once."""
        if not hasattr(self, "_val"):
            items = iter(self._stream(self.found_val, 12345, *world()))
            self._val = [
                collate_images([next(items) for _ in range(self.batch_size)]) for _ in range(self.val_batches)
            ]
        return DataLoader(self._val, batch_size=None)


def collate_images(items: list[tuple[Tensor, list[int]]]) -> ImageBatch:
    """Stacks images and pads captions."""
    length = max(len(ids) for _, ids in items)
    captions = torch.full((len(items), length), -1)
    for row, (_, ids) in zip(captions, items, strict=True):
        row[: len(ids)] = torch.tensor(ids, dtype=torch.long)
    return ImageBatch(torch.stack([image for image, _ in items]), captions)
