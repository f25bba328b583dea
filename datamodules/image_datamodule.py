"""Images with detailed captions, for the stages before the language model: encoder, tokenizer, detokenizer."""

import random
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from common.checks import check_sizes
from datamodules.decode import sample_image, sample_text
from datamodules.loader import Batch, Reader
from datamodules.shard import Sample
from datamodules.shard_paths import find_shards
from datamodules.source_stream import Source
from datamodules.stream import MixedStream
from datamodules.stream_datamodule import ReaderFactory, Shards, StreamDataModule
from models.image_input import ImageInput
from models.language.text_tokenizer import TextEncoder


class ImageBatch(NamedTuple):
    """images (B, 3, H, W) uint8; captions (B, T) text ids, padded by -1 (empty where there is no text tokenizer).

    code_images (B, 3, h, w) uint8 are the same images at the size at which codes are made of them, where it is another.
    """

    images: Tensor
    captions: Tensor
    code_images: Tensor | None = None


class ImageDataModule(StreamDataModule):
    """Streams images of raw pairs; other arguments as of `StreamDataModule`.

    Args:
        shards: folder, brace pattern or URL of the training shards, or a list of these.
        val: the same for validation.
        image_size: side that images are decoded to. Where a module makes codes of them at another size (`code_input`),
            each comes at that size too, straight from the file.
        batch_size: images a batch.
        val_batches: batches of the fixed validation set.
    """

    def __init__(
        self,
        shards: str | list[str],
        val: str | list[str],
        image_size: int = 48,
        batch_size: int = 32,
        val_batches: int = 8,
        **stream: Any,
    ) -> None:
        super().__init__(val_batches=val_batches, **stream)
        check_sizes("data", image_size=image_size, batch_size=batch_size)
        self.shards, self.val, self.image_size, self.batch_size = shards, val, image_size, batch_size

    def setup(self, stage: str | None = None) -> None:
        """Finds the shards, so that a missing set is reported before anything is built."""
        self.train_shards = {"images": find_shards(self.shards)}
        self.val_shards = {"images": find_shards(self.val)}

    def open_reader(self, shards: Shards, seed: int, max_skipped_fraction: float = 1.0) -> ReaderFactory:
        sizes = [self.image_size]
        code_input = self.stage.code_input
        if code_input is not None and code_input.size != self.image_size:
            sizes.append(code_input.size)
        convert = partial(_captioned_image, sizes, self.stage.text_tokenizer)
        sources = {name: Source(found, 1.0, convert) for name, found in shards.items()}
        return ReaderFactory(
            sources, partial(ImageReader, batch_size=self.batch_size), seed, max_skipped_fraction
        )


CaptionedImage = tuple[list[Tensor], list[int]]  # an image at each of its sizes, its caption's ids


def _captioned_image(
    sizes: Sequence[int], tokenizer: PreTrainedTokenizerBase | None, sample: Sample, rng: random.Random
) -> CaptionedImage:
    ids = [] if tokenizer is None else TextEncoder(tokenizer)(sample_text(sample, "dense.txt"))
    image = sample_image(sample)
    return [ImageInput(size)(image) for size in sizes], ids


class ImageReader(Reader):
    """Batches of a stream of captioned images."""

    def __init__(self, stream: MixedStream, batch_size: int) -> None:
        super().__init__(stream)
        self.batch_size = batch_size

    def batch(self) -> Batch:
        """The next batch, of an `ImageBatch`."""
        items = [next(self.stream).value for _ in range(self.batch_size)]
        return Batch(collate_images(items), {"images": self.batch_size}, {}, 0)


def collate_images(items: list[CaptionedImage]) -> ImageBatch:
    """Stacks images and pads captions."""
    length = max(len(ids) for _, ids in items)
    captions = torch.full((len(items), length), -1)
    for row, (_, ids) in zip(captions, items, strict=True):
        row[: len(ids)] = torch.tensor(ids, dtype=torch.long)
    by_size = zip(*(squares for squares, _ in items), strict=True)
    images, *others = (torch.stack(squares) for squares in by_size)
    return ImageBatch(images, captions, *others)
