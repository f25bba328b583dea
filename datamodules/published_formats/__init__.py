"""Ways in: how each published format is listed, and how its records become samples of shards."""

from datamodules.published_formats import edits, folder, img2dataset, llava, tables
from datamodules.published_formats.record import Chunk, Format, Listing, Made, Options, Refused

FORMATS: dict[str, Format] = {
    "folder": Format(folder.listing, folder.samples),
    "img2dataset": Format(img2dataset.listing, img2dataset.samples),
    "parquet": Format(tables.listing, tables.samples),
    "llava": Format(llava.listing, llava.samples),
    "edits": Format(edits.listing, edits.samples),
}

__all__ = ["FORMATS", "Chunk", "Format", "Listing", "Made", "Options", "Refused"]
