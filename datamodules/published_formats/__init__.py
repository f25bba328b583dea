"""Published formats: how the source of each is listed, in chunks that make the samples of shards."""

from collections.abc import Callable

from datamodules.published_formats import edits, folder, img2dataset, llava, tables
from datamodules.published_formats.listing import Chunk, Listing, Members, Options, Rejected

FORMATS: dict[str, Callable[[Options], Listing]] = {
    "folder": folder.listing,
    "img2dataset": img2dataset.listing,
    "parquet": tables.listing,
    "llava": llava.listing,
    "edits": edits.listing,
}

__all__ = ["FORMATS", "Chunk", "Listing", "Members", "Options", "Rejected"]
