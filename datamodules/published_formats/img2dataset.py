"""img2dataset: shards of jpg, txt and json already, some of them without an image."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from datamodules.decode import image_endings, sample_json, sample_text
from datamodules.published_formats import keys
from datamodules.published_formats.listing import Chunk, Listing, Members, Options, Rejected, attempt
from datamodules.published_formats.pictures import read_picture
from datamodules.published_formats.row_samples import PAIRS, pair_members
from datamodules.shard import BrokenShard, Sample, Shard
from datamodules.shard_paths import find_shards


def listing(options: Options) -> Listing:
    """The shards, each of which becomes one."""
    options.check_unused("images", "split")
    out = None if options.out is None else options.out.resolve()
    shards = [shard for shard in find_shards(str(options.source)) if out not in Path(shard).resolve().parents]
    return Listing([ShardChunk(shard) for shard in shards], PAIRS)


@dataclass(frozen=True)
class ShardChunk(Chunk):
    """One shard."""

    path: str

    def files(self, options: Options) -> Iterator[Path]:
        yield Path(self.path)

    def samples(self, options: Options) -> Iterator[Members | Rejected]:
        try:
            shard = Shard(self.path)
        except BrokenShard as error:
            yield Rejected(self.path, str(error))
            return
        for number, entry in enumerate(shard.entries):
            make = partial(_pairs, shard, number, options.caption)
            yield from attempt(f"{self.path} {entry.key}", make)
        if shard.cut is not None:
            yield Rejected(self.path, shard.cut)
        shard.close()


def _pairs(shard: Shard, number: int, caption: str | None) -> Iterator[Members | str]:
    sample = shard.read(number)
    images = image_endings(sample)
    if len(images) != 1:
        raise ValueError(f"a sample has {'several images' if images else 'no image'}")
    return pair_members(read_picture(sample[images[0]], ()), _captions(sample, caption))


def _captions(sample: Sample, caption: str | None) -> Any:
    """A sample's txt, or what is in its json where a key of that is asked for, or where it is all there is."""
    if "txt" in sample and caption is None:
        return sample_text(sample, "txt")
    row = sample_json(sample) if "json" in sample else None
    if isinstance(row, dict) and (key := keys.caption_key(row, caption, "a sample's json")) is not None:
        return row[key]
    raise ValueError("a sample has no caption")
