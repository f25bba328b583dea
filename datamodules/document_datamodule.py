"""Documents for the language model: sources mixed by weight, made into documents, packed into rows."""

import math
import random
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import lightning as L
from torch.utils.data import DataLoader

from common.checks import check_sizes
from datamodules.fitting import fit_document
from datamodules.loader import READERS, Batch, RankLoader, world
from datamodules.packing import LOOK_AHEAD, Packer
from datamodules.precomputed import with_made_ahead
from datamodules.shard_paths import find_shards
from datamodules.skip_rate import Reads
from datamodules.skipped import Skip, Skipped
from datamodules.stream import Cut, Item, MixedStream, Sample, Source
from datamodules.templates import TEMPLATES
from models.sequence import PackedBatch, Segment, Sequencer, collate

VAL_SEED = 12345


class SourceConfig(TypedDict):
    """A source in YAML: where its shards are, a template's name, a weight, and fixed validation shards.

    `shards` and `val` are folders, brace patterns or URLs, or lists of these.
    """

    shards: str | list[str]
    template: str
    weight: float
    val: NotRequired[str | list[str]]


class DocumentDataModule(L.LightningDataModule):
    """Streams packed documents.

    Args:
        sources: by name.
        sequences_per_batch: rows of a batch.
        sequence_length: tokens in a row; a longer document is cut where that costs words alone
            (`datamodules/fitting.py`), else skipped, and counted either way.
        image_size: side that seen images are decoded to; where the model slices what it sees, the side of a slice. What
            is drawn is decoded to the size of the tokenizer's encoder, whatever is seen.
        batches_per_epoch: length of a declared epoch, on each rank.
        val_batches: batches of the fixed validation set.
        workers: processes that read and pack.
        readers: parts that a rank's share of the data is read in, whatever the number of workers.
        look_ahead: documents that may wait for a row that they fill.
        drop: share of captions and instructions replaced by the null prompt.
        max_skipped_fraction: largest share of samples that may be skipped before the run stops.
        seed: of order, mixture and dropping.

    Raises:
        ValueError: a template is not known, or a number makes no sense.
    """

    def __init__(
        self,
        sources: dict[str, SourceConfig],
        sequences_per_batch: int = 12,
        sequence_length: int = 256,
        image_size: int = 48,
        batches_per_epoch: int = 500,
        val_batches: int = 10,
        workers: int = 1,
        readers: int = READERS,
        look_ahead: int = LOOK_AHEAD,
        drop: float = 0.1,
        max_skipped_fraction: float = 0.01,
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = {
            "sequences_per_batch": sequences_per_batch,
            "sequence_length": sequence_length,
            "readers": readers,
        }
        check_sizes("data", image_size=image_size, batches_per_epoch=batches_per_epoch, **sizes)
        check_sizes("data", 0, val_batches=val_batches, workers=workers, look_ahead=look_ahead)
        unknown = {c["template"] for c in sources.values()} - set(TEMPLATES)
        if unknown:
            raise ValueError(
                f"unknown template {', '.join(sorted(unknown))}; there is: {', '.join(TEMPLATES)}"
            )
        weights = [c["weight"] for c in sources.values()]
        if not any(w > 0 for w in weights) or not all(0 <= w < math.inf for w in weights):
            raise ValueError(
                "data: the weights of the sources must be finite and not below 0, and one must be above"
            )
        self.sources, self.sequences_per_batch, self.sequence_length = (
            sources,
            sequences_per_batch,
            sequence_length,
        )
        self.image_size, self.batches_per_epoch, self.val_batches = image_size, batches_per_epoch, val_batches
        self.workers, self.readers, self.look_ahead = workers, readers, look_ahead
        self.drop, self.max_skipped_fraction, self.seed = drop, max_skipped_fraction, seed
        self._loader: RankLoader | None = None

    def setup(self, stage: str | None = None) -> None:
        """Finds the shards, so that a missing set is told before anything is built."""
        self.shards = {name: find_shards(c["shards"]) for name, c in self.sources.items()}
        self.val_shards = {name: find_shards(c["val"]) for name, c in self.sources.items() if "val" in c}

    @property
    def sequencer(self) -> Sequencer:
        """The model's own, so that training asks as inference does."""
        return self.trainer.lightning_module.sequencer

    def _longest(self) -> int | None:
        """Longest side of images that are seen whole, to be sliced; None where the model sees squares.

        Raises:
            ValueError: `image_size` is not the size at which the model sees, so it would learn from other pictures than
                those that it is shown afterwards; and no batch holds slices and squares of two sizes.
        """
        slicing = self.sequencer.slicing
        model = getattr(self.trainer.lightning_module, "model", None)
        eye = getattr(model, "understanding_encoder", None) or getattr(model, "encoder", None)
        takes = slicing.size if slicing is not None else getattr(eye, "image_size", self.image_size)
        if takes != self.image_size:
            what = "slices" if slicing is not None else "images"
            raise ValueError(
                f"the model sees {what} of {takes} x {takes} pixels, and data.init_args.image_size is "
                f"{self.image_size}: make the two the same"
            )
        return None if slicing is None else slicing.max_side

    def _draw_size(self) -> int:
        """Side of images that are drawn: what the tokenizer's encoder takes, so that codes are the same everywhere.

        Raises:
            ValueError: several models learn together, whose tokenizers take images of several sizes.
        """
        models = self.trainer.lightning_module.models
        sizes = {m.code_input.size for m in models if m.tokenizer is not None}
        if len(sizes) > 1:
            raise ValueError(
                f"model.init_args.branches: the tokenizers take images of {' and '.join(map(str, sorted(sizes)))} pixels, "
                "and a batch holds one size of what is drawn: compare tokenizers of one size"
            )
        return sizes.pop() if sizes else self.image_size

    def _open(self, shards: dict[str, list[str]], seed: int, limit: float = 1.0) -> "OpenPackedReader":
        longest, draw_size = self._longest(), self._draw_size()
        sources = {
            name: Source(
                found,
                self.sources[name]["weight"],
                partial(
                    _segment,
                    self.sequencer,
                    self.sources[name]["template"],
                    self.image_size,
                    draw_size,
                    longest,
                    self.drop,
                    self.sequence_length,
                    getattr(self.trainer.lightning_module, "fingerprints", {}),
                ),
            )
            for name, found in shards.items()
        }
        pad = self.sequencer.vocabulary.special("pad")
        return OpenPackedReader(
            sources, seed, self.sequence_length, self.look_ahead, self.sequences_per_batch, pad, limit
        )

    def train_dataloader(self) -> RankLoader:
        """Batches of this epoch."""
        self._loader = RankLoader(
            self._open(self.shards, self.seed, self.max_skipped_fraction),
            self.batches_per_epoch,
            self.workers,
            self.readers,
            self.max_skipped_fraction,
        )
        return self._loader

    def add_sources(self, sources: dict[str, SourceConfig]) -> None:
        """Mixes in more sources, of local files, from the next epoch on, or gives those that are there another weight.

        A source stays for as long as the run does, for a reader may have its documents waiting; weight 0 silences it.

        Raises:
            FileNotFoundError: shards of theirs are not there.
        """
        found = {name: list(config["shards"]) for name, config in sources.items()}
        missing = [shard for shards in found.values() for shard in shards if not Path(shard).is_file()]
        if missing:
            raise FileNotFoundError(
                f"shards that this run has made are gone: {', '.join(missing)}; put them back"
            )
        self.sources, self.shards = {**self.sources, **sources}, {**self.shards, **found}
        if self._loader is not None:
            self._loader.reopen(self._open(self.shards, self.seed, self.max_skipped_fraction))

    def val_dataloader(self) -> DataLoader | list:
        """The fixed validation set: made once, the same batches ever after (each rank its share)."""
        if not self.val_shards:
            return []
        if not hasattr(self, "_val"):
            reader = self._open(self.val_shards, VAL_SEED)(*world())
            self._val = [reader.batch().value for _ in range(self.val_batches)]
            Skipped().add(reader.take_skips())  # says what was
        return DataLoader(self._val, batch_size=None)


@dataclass(frozen=True)
class OpenPackedReader:
    """All that a worker process needs to know to open the reader of one part of the data."""

    sources: dict[str, Source]
    seed: int
    length: int
    look_ahead: int
    rows: int
    pad: int
    max_skipped_fraction: float = 1.0

    def __call__(self, part: int, parts: int) -> "PackedReader":
        """The reader."""
        stream = MixedStream(self.sources, self.seed, part, parts, self.max_skipped_fraction)
        return PackedReader(Packer(stream, self.length, self.look_ahead), self.rows, self.pad)


class PackedReader:
    """Packed batches out of one part of the data.

    Args:
        packer: gives rows.
        rows: of a batch.
        pad: id of the token that fills a row.
    """

    def __init__(self, packer: Packer, rows: int, pad: int) -> None:
        self.packer, self.rows, self.pad = packer, rows, pad

    def batch(self) -> Batch:
        """The next batch."""
        rows = [self.packer.row() for _ in range(self.rows)]
        items: list[Item] = [item for row in rows for item in row]
        places = iter(range(len(items)))
        packed: PackedBatch = collate(
            [item.value for item in items],
            [[next(places) for _ in row] for row in rows],
            self.packer.length,
            self.pad,
        )
        samples, tokens = Counter(), Counter()
        for item in items:
            samples[item.address.source] += 1
            tokens[item.address.source] += len(item.value)
        return Batch(packed, dict(samples), dict(tokens), self.rows * self.packer.length)

    def take_skips(self) -> list[Skip]:
        """What was skipped since the last time."""
        return self.packer.stream.take_skips()

    def take_reads(self) -> dict[str, Reads]:
        """What was read since the last time, by source."""
        return self.packer.stream.take_reads()

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands, and what waits."""
        return self.packer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken."""
        self.packer.load_state_dict(state)


def _segment(
    sequencer: Sequencer,
    template: str,
    size: int,
    draw_size: int,
    longest: int | None,
    drop: float,
    length: int,
    stamps: dict[str, str],
    sample: Sample,
    rng: random.Random,
) -> Segment | Cut:
    made = with_made_ahead(sample, stamps)
    document = TEMPLATES[template](made, size, rng, drop, longest, sequencer.prompts, draw_size)
    return fit_document(sequencer, document, length, rng)
