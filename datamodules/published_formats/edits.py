"""edits: MagicBrush's lists, InstructPix2Pix's folders, or a list or a table of edits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.images import has_image_extension
from common.json_files import read_object
from datamodules.published_formats import tables
from datamodules.published_formats.files import check_split, of_split, plain, walk
from datamodules.published_formats.pictures import read_file
from datamodules.published_formats.record import (
    Chunk,
    Listing,
    Made,
    Members,
    Options,
    Refused,
    attempt,
    slices,
)
from datamodules.published_formats.rows import JSON_ENDINGS, Row, read_rows, rows_of_split
from datamodules.published_formats.samples import edit_files, edit_members, edits

TURNS, SESSIONS = (
    "edit_turns.json",
    "edit_sessions.json",
)  # of MagicBrush: the same edits one by one, and by scene


def listing(options: Options) -> Listing:
    """The edits of the source, of whichever kind it is.

    Raises:
        FileNotFoundError: it holds none.
    """
    left: list[Refused] = []
    source = options.source
    if source.suffix.lower() in tables.TABLES:
        return _of_tables(options)
    if source.is_file():
        return _of_lists([Path(source.name)], options, left)
    names = walk(source, left, options.out)
    for listed in (TURNS, SESSIONS):
        if lists := [name for name in names if name.name == listed]:
            return _of_lists(of_split(lists, options, left), options, left)
    if folders := [str(name.parent) for name in names if name.name == "prompt.json"]:
        return Listing(slices(folders, options.size), tables.EDITS, left)
    if any(name.suffix.lower() in tables.TABLES for name in names):
        return _of_tables(options)
    if lists := [
        name for name in names if name.name.lower() in {f"metadata{e}" for e in (*JSON_ENDINGS, ".csv")}
    ]:
        return _of_lists(of_split(lists, options, left), options, left)
    raise FileNotFoundError(
        f"no edits at {source}: neither {TURNS} nor folders with a prompt.json nor tables nor a metadata.jsonl"
    )


def _of_tables(options: Options) -> Listing:
    found = tables.listing(options)
    if found.template != tables.EDITS:
        raise ValueError(f"{options.source} holds no edits: convert it as parquet")
    return found


def _of_lists(lists: list[Path], options: Options, left: list[Refused]) -> Listing:
    records = []
    for path in lists:
        rows = _sessions(read_rows(plain(options) / path))
        folder = str(path.parent)
        records += [[w, row, folder] for w, row in rows_of_split(rows, check_split(options), left)]
    return Listing(slices(records, options.size), tables.EDITS, left)


def _sessions(rows: list[Row]) -> list[Row]:
    """Rows one by one, where MagicBrush lists them by scene: {"image": scene, "caption": turns} as rows are read."""
    flat: list[Row] = []
    for where, row in rows:
        turns = row.get("caption") if isinstance(row, dict) else None
        if isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns):
            flat += [(f"{where}, turn {number}", turn) for number, turn in enumerate(turns, 1)]
        else:
            flat.append((where, row))
    return flat


def samples(options: Options, chunk: Chunk) -> Iterator[Made | Refused]:
    """The samples of some edits."""
    if tables.is_chunk(chunk):
        yield from tables.samples(options, chunk)
        return
    for record in chunk:
        if isinstance(record, str):
            yield from _of_folder(options.source, record)
            continue
        where, row, folder = record
        roots = _roots(options, folder, row)
        yield from attempt(where, lambda row=row, roots=roots: edits(row, roots, options.caption))


def files(options: Options, chunk: Chunk) -> Iterator[Path]:
    """The files of folders, or the images that rows name."""
    if tables.is_chunk(chunk):
        yield from tables.files(options, chunk)
        return
    for record in chunk:
        if isinstance(record, str):
            yield from sorted(path for path in (options.source / record).iterdir() if path.is_file())
        else:
            _, row, folder = record
            yield from edit_files(row, _roots(options, folder, row), options.caption)


def _roots(options: Options, folder: str, row: Any) -> list[Path]:
    """Where the images of a row may start: MagicBrush's lie in images/SCENE, and their names begin with the scene."""
    root = options.images or plain(options) / folder
    named = row.get("input") if isinstance(row, dict) else None
    scene = named.partition("-")[0] if isinstance(named, str) else ""
    scenes = (
        [root / "images" / scene, root / scene]
        if scene and scene not in (".", "..") and "/" not in scene
        else []
    )
    return [*scenes, root / "images", root]


def _of_folder(source: Path, name: str) -> Iterator[Made | Refused]:
    """InstructPix2Pix's: one instruction, and several pairs of images NUMBER_0 and NUMBER_1."""
    folder = source / name
    try:
        words = read_object(folder / "prompt.json").get("edit")
    except (ValueError, OSError) as error:
        yield Refused(name, f"a prompt.json cannot be read: {error}")
        return
    befores = sorted(p for p in folder.iterdir() if p.stem.endswith("_0") and has_image_extension(p.name))
    if not befores:
        yield Refused(name, "an edit has no images")
    for before in befores:
        yield from attempt(f"{name}/{before.name}", lambda before=before: _pair(before, words))


def _pair(before: Path, words: Any) -> Iterator[Members | str]:
    stem = f"{before.stem.removesuffix('_0')}_1"
    same = before.with_name(stem + before.suffix)
    others = (p for p in sorted(before.parent.iterdir()) if p.stem == stem and has_image_extension(p.name))
    after = same if same.exists() else next(others, same)
    return edit_members(read_file(before), words, read_file(after))
