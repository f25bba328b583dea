"""edits: MagicBrush's lists, InstructPix2Pix's folders, or a list or a table of edits."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from common.images import has_image_extension
from common.json_files import read_object
from datamodules.published_formats import tables
from datamodules.published_formats.files import check_split, of_split, walk
from datamodules.published_formats.listing import Chunk, Listing, Members, Options, Rejected, attempt, chunked
from datamodules.published_formats.pictures import read_file
from datamodules.published_formats.row_samples import EDITS, ListedRow, RowChunk, edit_members
from datamodules.published_formats.rows import JSON_ENDINGS, Row, read_rows, rows_of_split

# MagicBrush's: the same edits one by one, and by scene
TURNS, SESSIONS = "edit_turns.json", "edit_sessions.json"
METADATA = {f"metadata{ending}" for ending in (*JSON_ENDINGS, ".csv")}


def listing(options: Options) -> Listing:
    """The edits of the source, of whichever kind it is; raises FileNotFoundError if it holds none."""
    rejected: list[Rejected] = []
    source = options.source
    if tables.is_table(source):
        return tables.listing_of(EDITS, options)
    if source.is_file():
        return _of_lists([Path(source.name)], options, rejected)
    names = walk(source, rejected, options.out)
    for listed in (TURNS, SESSIONS):
        if lists := [name for name in names if name.name == listed]:
            return _of_lists(of_split(lists, options, rejected), options, rejected)
    if folders := [str(name.parent) for name in names if name.name == "prompt.json"]:
        return Listing([PromptFolders(chunk) for chunk in chunked(folders, options.size)], EDITS, rejected)
    if any(map(tables.is_table, names)):
        return tables.listing_of(EDITS, options)
    if lists := [name for name in names if name.name.lower() in METADATA]:
        return _of_lists(of_split(lists, options, rejected), options, rejected)
    raise FileNotFoundError(
        f"no edits at {source}: neither {TURNS} nor folders with a prompt.json nor tables nor a metadata.jsonl"
    )


def _of_lists(lists: list[Path], options: Options, rejected: list[Rejected]) -> Listing:
    listed = []
    for path in lists:
        rows = _flatten_sessions(read_rows(options.folder / path))
        rows = rows_of_split(rows, check_split(options), rejected)
        listed += [ListedRow(where, row, str(path.parent)) for where, row in rows]
    return Listing([RowChunk(EDITS, chunk) for chunk in chunked(listed, options.size)], EDITS, rejected)


def _flatten_sessions(rows: list[Row]) -> list[Row]:
    """Rows one by one, where MagicBrush lists them by scene: {"image": scene, "caption": turns} as rows are read."""
    flat: list[Row] = []
    for where, row in rows:
        turns = row.get("caption") if isinstance(row, dict) else None
        if isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns):
            flat += [(f"{where}, turn {number}", turn) for number, turn in enumerate(turns, 1)]
        else:
            flat.append((where, row))
    return flat


@dataclass(frozen=True)
class PromptFolders(Chunk):
    """InstructPix2Pix's folders: in each one instruction, and several pairs of images NUMBER_0 and NUMBER_1."""

    folders: list[str]

    def samples(self, options: Options) -> Iterator[Members | Rejected]:
        for name in self.folders:
            folder = options.source / name
            try:
                instruction = read_object(folder / "prompt.json").get("edit")
            except (ValueError, OSError) as error:
                yield Rejected(name, f"a prompt.json cannot be read: {error}")
                continue
            images = sorted(path for path in folder.iterdir() if has_image_extension(path.name))
            befores = [path for path in images if path.stem.endswith("_0")]
            if not befores:
                yield Rejected(name, "an edit has no images")
            for before in befores:
                yield from attempt(f"{name}/{before.name}", partial(_pair, before, instruction))

    def files(self, options: Options) -> Iterator[Path]:
        for name in self.folders:
            yield from sorted(path for path in (options.source / name).iterdir() if path.is_file())


def _pair(before: Path, instruction: Any) -> Iterator[Members | str]:
    stem = f"{before.stem.removesuffix('_0')}_1"
    same = before.with_name(stem + before.suffix)
    others = (p for p in sorted(before.parent.iterdir()) if p.stem == stem and has_image_extension(p.name))
    after = same if same.exists() else next(others, same)
    return edit_members(read_file(before), instruction, read_file(after))
