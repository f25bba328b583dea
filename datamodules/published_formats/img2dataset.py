"""img2dataset: shards of jpg, txt and json already, some of them without an image."""

from collections.abc import Iterator
from pathlib import Path

from datamodules.decode import image_endings, sample_json, sample_text
from datamodules.published_formats import keys, tables
from datamodules.published_formats.pictures import read_picture
from datamodules.published_formats.record import (
    Chunk,
    Listing,
    Made,
    Members,
    Options,
    Refused,
    attempt,
    check_unused,
)
from datamodules.published_formats.samples import pair_members
from datamodules.shard import BrokenShard, Sample, Shard
from datamodules.shard_paths import find_shards


def listing(options: Options) -> Listing:
    """The shards, each of which becomes one."""
    check_unused(options, images=True, split=True)
    out = None if options.out is None else options.out.resolve()
    shards = [shard for shard in find_shards(str(options.source)) if out not in Path(shard).resolve().parents]
    return Listing(shards, tables.PAIRS)


def files(options: Options, chunk: Chunk) -> Iterator[Path]:
    """The shard."""
    yield Path(chunk)


def samples(options: Options, chunk: Chunk) -> Iterator[Made | Refused]:
    """The samples of a shard."""
    try:
        shard = Shard(chunk)
    except BrokenShard as error:
        yield Refused(chunk, str(error))
        return
    for number, entry in enumerate(shard.entries):
        yield from attempt(
            f"{chunk} {entry.key}", lambda number=number: _of_shard(shard.read(number), options.caption)
        )
    if shard.cut is not None:
        yield Refused(chunk, shard.cut)
    shard.close()


def _of_shard(sample: Sample, caption: str | None) -> Iterator[Members | str]:
    images = image_endings(sample)
    if not images:
        raise ValueError("a sample has no image")
    if len(images) > 1:
        raise ValueError("a sample has several images")
    picture = read_picture(sample[images[0]], ())
    return pair_members(picture, _caption(sample, caption))


def _caption(sample: Sample, caption: str | None) -> object:
    """The words of a sample: its txt, or what its json says where that is asked for, or all there is."""
    if "txt" in sample and caption is None:
        return sample_text(sample, "txt")
    if "json" not in sample:
        raise ValueError("a sample has no caption")
    row = sample_json(sample)
    key = keys.caption_key(row, caption, "a sample's json") if isinstance(row, dict) else None
    if key is None:
        raise ValueError("a sample has no caption")
    return row[key]
