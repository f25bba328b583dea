"""Ways in: how each published format is listed, and how its records become samples of shards."""

from datamodules.published_formats import edits, folder, img2dataset, llava, tables
from datamodules.published_formats.record import Chunk, Format, Listing, Made, Options, Refused

FORMATS: dict[str, Format] = {
    "folder": Format(folder.listing, folder.samples, folder.files),
    "img2dataset": Format(img2dataset.listing, img2dataset.samples, img2dataset.files),
    "parquet": Format(tables.listing, tables.samples, tables.files),
    "llava": Format(llava.listing, llava.samples, llava.files),
    "edits": Format(edits.listing, edits.samples, edits.files),
}

__all__ = ["FORMATS", "Chunk", "Format", "Listing", "Made", "Options", "Refused"]
