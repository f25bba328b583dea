"""Documents for the language model: sources mixed by weight, made into documents, packed into rows."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from common.checks import check_sizes
from datamodules.fitting import fit_document
from datamodules.packing import LOOK_AHEAD, PackedReader
from datamodules.precomputed import read_precomputed
from datamodules.shard import Sample
from datamodules.shard_paths import find_shards
from datamodules.source_stream import Source, Truncated
from datamodules.stream_datamodule import ReaderFactory, Shards, StreamDataModule
from datamodules.templates import TEMPLATES, TemplateRequest
from models.sequence import Segment, Sequencer


@dataclass(frozen=True)
class SourceConfig:
    """A source of the mixture.

    Args:
        shards: folder, brace pattern or URL of its shards, or a list of these.
        template: makes a document of a sample (`datamodules/templates.py`).
        weight: in the mixture.
        val: fixed validation shards, as `shards`.

    Raises:
        ValueError: the weight is no share.
    """

    shards: str | list[str]
    template: Literal["draw", "describe", "detail", "reconstruct", "document", "text", "conversation", "edit"]
    weight: float
    val: str | list[str] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(
                f"data: the weight of a source is {self.weight}: it must be finite and 0 or more"
            )


class DocumentDataModule(StreamDataModule):
    """Streams packed documents; other arguments as of `StreamDataModule`.

    Args:
        sources: by name.
        sequences_per_batch: rows of a batch.
        sequence_length: tokens in a row; a longer document is cut where that costs text alone
            (`datamodules/fitting.py`), else skipped, and counted either way.
        image_size: side that seen images are decoded to; where the model slices what it sees, the side of a slice. What
            is drawn is decoded to the size of the tokenizer's encoder, whatever is seen.
        look_ahead: documents that may wait for a row that they fill.
        drop: share of captions and instructions replaced by the null prompt.

    Raises:
        ValueError: no source has a weight above 0.
    """

    def __init__(
        self,
        sources: dict[str, SourceConfig],
        sequences_per_batch: int = 12,
        sequence_length: int = 256,
        image_size: int = 48,
        look_ahead: int = LOOK_AHEAD,
        drop: float = 0.1,
        **stream: Any,
    ) -> None:
        super().__init__(**stream)
        sizes = {"sequences_per_batch": sequences_per_batch, "sequence_length": sequence_length}
        check_sizes("data", image_size=image_size, **sizes)
        check_sizes("data", 0, look_ahead=look_ahead)
        if not any(config.weight for config in sources.values()):
            raise ValueError("data: one of the sources must have a weight above 0")
        self.sources, self.image_size = sources, image_size
        self.sequences_per_batch, self.sequence_length = sequences_per_batch, sequence_length
        self.look_ahead, self.drop = look_ahead, drop

    def setup(self, stage: str | None = None) -> None:
        """Finds the shards, so that a missing set is reported before anything is built."""
        self.train_shards = {name: find_shards(c.shards) for name, c in self.sources.items()}
        self.val_shards = {name: find_shards(c.val) for name, c in self.sources.items() if c.val is not None}

    def _longest(self, sequencer: Sequencer) -> int | None:
        """Longest side of images that are seen whole, to be sliced; None where the model sees squares.

        Raises:
            ValueError: `image_size` is not the size at which the model sees, so it would learn from other images than
                those that it is shown afterwards; and no batch holds slices and squares of two sizes.
        """
        slicing, model = sequencer.slicing, self.stage.model
        encoder = model.understanding_encoder or model.encoder
        takes = slicing.size if slicing is not None else getattr(encoder, "image_size", self.image_size)
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
        sizes = {model.code_input.size for model in self.stage.models if model.tokenizer is not None}
        if len(sizes) > 1:
            raise ValueError(
                f"model.init_args.branches: the tokenizers take images of {' and '.join(map(str, sorted(sizes)))} "
                "pixels, and a batch holds one size of what is drawn: compare tokenizers of one size"
            )
        return sizes.pop() if sizes else self.image_size

    def open_reader(self, shards: Shards, seed: int, max_skipped_fraction: float = 1.0) -> ReaderFactory:
        sequencer = self.stage.sequencer
        request = TemplateRequest(
            {},
            self.image_size,
            drop=self.drop,
            longest=self._longest(sequencer),
            draw_size=self._draw_size(),
            prompts=sequencer.prompts,
        )
        fingerprints = self.stage.fingerprints
        sources = {}
        for name, found in shards.items():
            config = self.sources[name]
            segment = Segmenter(sequencer, config.template, request, self.sequence_length, fingerprints)
            sources[name] = Source(found, config.weight, segment)
        reader = partial(
            PackedReader,
            length=self.sequence_length,
            rows=self.sequences_per_batch,
            pad=sequencer.vocabulary.special("pad"),
            look_ahead=self.look_ahead,
        )
        return ReaderFactory(sources, reader, seed, max_skipped_fraction)

    def add_sources(self, sources: dict[str, SourceConfig]) -> None:
        """Mixes in more sources, of local files, from the next epoch on, or gives those that are there another weight.

        A source stays for as long as the run does, for a reader may have its documents waiting; weight 0 silences it.

        Raises:
            FileNotFoundError: shards of theirs are not there.
        """
        found = {name: list(config.shards) for name, config in sources.items()}
        gone = [shard for shards in found.values() for shard in shards if not Path(shard).is_file()]
        if gone:
            raise FileNotFoundError(f"shards that this run made are gone: {', '.join(gone)}; put them back")
        self.sources, self.train_shards = {**self.sources, **sources}, {**self.train_shards, **found}
        if self._loader is not None:
            limit = self.max_skipped_fraction
            self._loader.reopen(self.open_reader(self.train_shards, self.seed, limit))


@dataclass(frozen=True)
class Segmenter:
    """Makes a segment of a sample: reads what is precomputed, applies the template, fits the document to a row."""

    sequencer: Sequencer
    template: str
    request: TemplateRequest
    length: int
    fingerprints: Mapping[str, str]

    def __call__(self, sample: Sample, rng: random.Random) -> Segment | Truncated:
        """The segment, or `Truncated` where text was left out."""
        request = replace(self.request, sample=read_precomputed(sample, self.fingerprints), rng=rng)
        return fit_document(self.sequencer, TEMPLATES[self.template](request), self.length, rng)
