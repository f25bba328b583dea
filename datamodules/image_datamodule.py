"""Images with detailed captions, for the stages before the language model: encoder, tokenizer, detokenizer."""

import random
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from common.checks import check_sizes
from datamodules.decode import open_sample_image, sample_text
from datamodules.loader import READERS, Batch, RankLoader, world
from datamodules.shard_paths import find_shards
from datamodules.skip_rate import Reads
from datamodules.skipped import Skip, Skipped
from datamodules.stream import MixedStream, Sample, Source
from models.image_input import ImageInput
from models.language.text_tokenizer import TextEncoder

VAL_SEED = 12345


class ImageBatch(NamedTuple):
    """images (B, 3, H, W) uint8; captions (B, T) text ids, padded by -1 (empty where no text tokenizer is).

    code_images (B, 3, h, w) uint8 are the same images at the size at which codes are made of them, where it is another.
    """

    images: Tensor
    captions: Tensor
    code_images: Tensor | None = None


class ImageDataModule(L.LightningDataModule):
    """Streams images of raw pairs.

    Args:
        shards: folder, brace pattern or URL of the training shards, or a list of these.
        val: the same for validation.
        image_size: side that images are decoded to. Where a module makes codes of them at another size (`code_input`),
            each comes at that size too, straight from the file.
        batch_size: images a batch.
        batches_per_epoch: length of a declared epoch.
        val_batches: batches of the fixed validation set.
        workers: processes that read.
        readers: parts that a rank's share of the data is read in, whatever the number of workers.
        max_skipped_fraction: largest share of samples that may be skipped before the run stops.
        seed: of the order.
    """

    def __init__(
        self,
        shards: str | list[str],
        val: str | list[str],
        image_size: int = 48,
        batch_size: int = 32,
        batches_per_epoch: int = 500,
        val_batches: int = 8,
        workers: int = 1,
        readers: int = READERS,
        max_skipped_fraction: float = 0.01,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_sizes("data", image_size=image_size, batch_size=batch_size, batches_per_epoch=batches_per_epoch)
        check_sizes("data", readers=readers)
        check_sizes("data", 0, val_batches=val_batches, workers=workers)
        self.shards, self.val, self.image_size, self.batch_size = shards, val, image_size, batch_size
        self.batches_per_epoch, self.val_batches, self.seed = batches_per_epoch, val_batches, seed
        self.workers, self.readers, self.max_skipped_fraction = workers, readers, max_skipped_fraction

    def setup(self, stage: str | None = None) -> None:
        """Finds the shards, so that a missing set is told before anything is built."""
        self.found, self.found_val = find_shards(self.shards), find_shards(self.val)

    def _open(self, shards: list[str], seed: int, limit: float = 1.0) -> "OpenImageReader":
        tokenizer = getattr(self.trainer.lightning_module, "text_tokenizer", None)
        code_input = getattr(self.trainer.lightning_module, "code_input", None)
        sizes = {self.image_size: None} | ({} if code_input is None else {code_input.size: None})
        convert = partial(_captioned_image, tuple(sizes), tokenizer)
        return OpenImageReader({"images": Source(shards, 1.0, convert)}, seed, self.batch_size, limit)

    def train_dataloader(self) -> RankLoader:
        """Batches of this epoch."""
        return RankLoader(
            self._open(self.found, self.seed, self.max_skipped_fraction),
            self.batches_per_epoch,
            self.workers,
            self.readers,
            self.max_skipped_fraction,
        )

    def val_dataloader(self) -> DataLoader:
        """The fixed validation set, made once."""
        if not hasattr(self, "_val"):
            reader = self._open(self.found_val, VAL_SEED)(*world())
            self._val = [reader.batch().value for _ in range(self.val_batches)]
            Skipped().add(reader.take_skips())  # says what was
        return DataLoader(self._val, batch_size=None)


def _captioned_image(
    sizes: tuple[int, ...],
    tokenizer: PreTrainedTokenizerBase | None,
    sample: Sample,
    rng: random.Random,
) -> tuple[list[Tensor], list[int]]:
    words = sample_text(sample, "dense.txt") if tokenizer is not None else ""
    ids = TextEncoder(tokenizer)(words) if words else []
    image = open_sample_image(sample)
    return [ImageInput(size)(image) for size in sizes], ids


@dataclass(frozen=True)
class OpenImageReader:
    """All that a worker process needs to know to open the reader of one part of the data."""

    sources: dict[str, Source]
    seed: int
    size: int
    max_skipped_fraction: float = 1.0

    def __call__(self, part: int, parts: int) -> "ImageReader":
        """The reader."""
        stream = MixedStream(self.sources, self.seed, part, parts, self.max_skipped_fraction)
        return ImageReader(stream, self.size)


class ImageReader:
    """Batches of images out of one part of the data.

    Args:
        stream: gives (the image at each of its sizes, caption's ids).
        size: images a batch.
    """

    def __init__(self, stream: MixedStream, size: int) -> None:
        self.stream, self.size = stream, size

    def batch(self) -> Batch:
        """The next batch."""
        items = [next(self.stream).value for _ in range(self.size)]
        return Batch(collate_images(items), {"images": self.size}, {}, 0)

    def take_skips(self) -> list[Skip]:
        """What was skipped since the last time."""
        return self.stream.take_skips()

    def take_reads(self) -> dict[str, Reads]:
        """What was read since the last time, by source."""
        return self.stream.take_reads()

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands."""
        return self.stream.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken."""
        self.stream.load_state_dict(state)


def collate_images(items: list[tuple[list[Tensor], list[int]]]) -> ImageBatch:
    """Stacks images and pads captions."""
    length = max(len(ids) for _, ids in items)
    captions = torch.full((len(items), length), -1)
    for row, (_, ids) in zip(captions, items, strict=True):
        row[: len(ids)] = torch.tensor(ids, dtype=torch.long)
    images, *others = (
        torch.stack(squares) for squares in zip(*(squares for squares, _ in items), strict=True)
    )
    return ImageBatch(images, captions, *others)
