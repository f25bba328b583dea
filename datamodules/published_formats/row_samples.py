"""Rows, of a table or a list, as samples: pairs, dialogues or edits."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.conversations import read_dialogue
from datamodules.decode import MAX_JSON_BYTES, MAX_TEXT_BYTES
from datamodules.published_formats import keys
from datamodules.published_formats.listing import ROW_ERRORS, Chunk, Members, Options, Rejected, attempt
from datamodules.published_formats.pictures import Picture, picture_file, read_picture
from models.document import See, Text

PAIRS, DIALOGUES, EDITS = "describe, draw, ...", "conversation", "edit"  # by the templates that read them
MISSING = {"nan", "none", "null", "<na>", "n/a"}  # what tables are saved with where there was no caption


class ListedRow(NamedTuple):
    """A row, its position (file and line), and its list's folder relative to the source."""

    where: str
    row: Any
    folder: str = "."


@dataclass(frozen=True)
class RowChunk(Chunk):
    """Rows of one kind: PAIRS, DIALOGUES or EDITS."""

    kind: str
    rows: list[ListedRow]

    def samples(self, options: Options) -> Iterator[Members | Rejected]:
        for where, row, folder in self.rows:
            roots = self._roots(options, row, folder)
            yield from attempt(where, partial(row_samples, self.kind, row, roots, options.caption))

    def files(self, options: Options) -> Iterator[Path]:
        for _, row, folder in self.rows:
            yield from row_files(self.kind, row, self._roots(options, row, folder), options.caption)

    def _roots(self, options: Options, row: Any, folder: str) -> list[Path]:
        """Where the paths of a row's images may start."""
        if self.kind != EDITS:
            root = options.images or options.folder
            return [root / folder, root]
        # MagicBrush's lie in images/SCENE, and their names begin with the scene
        root = options.images or options.folder / folder
        named = row.get("input") if isinstance(row, dict) else None
        scene = named.partition("-")[0] if isinstance(named, str) else ""
        scenes = [] if scene in ("", ".", "..") or "/" in scene else [root / "images" / scene, root / scene]
        return [*scenes, root / "images", root]


def row_samples(kind: str, row: Any, roots: Sequence[Path], caption: str | None) -> Iterator[Members | str]:
    """The samples of a row; the reason where one of several cannot be made.

    Args:
        kind: PAIRS, DIALOGUES or EDITS.
        row: its values by key.
        roots: where the paths of images may start.
        caption: the key of captions or of instructions; None: the only one that is known.

    Raises:
        ValueError: something is missing, or there is more than one of it.
    """
    return KINDS[kind].samples(row, roots, caption)


def row_files(kind: str, row: Any, roots: Sequence[Path], caption: str | None) -> Iterator[Path]:
    """The images that a row names; none of one that `row_samples` refuses."""
    try:
        images = KINDS[kind].images(row, caption)
    except ROW_ERRORS:
        return
    each = (one for image in images for one in (image if isinstance(image, list) else [image]))
    yield from (path for one in each if (path := picture_file(one, roots)) is not None)


def _pairs(row: Any, roots: Sequence[Path], caption: str | None) -> Iterator[Members | str]:
    if not isinstance(row, dict):
        raise ValueError("a row is no object")
    if None in row:  # as csv calls what is beyond the header
        raise ValueError("a row has more fields than its header: put those with commas in quotes")
    image, text = keys.image_key(row), keys.caption_key(row, caption, "a row")
    if image is None:
        raise ValueError("a row has no image")
    if text is None:
        known = (
            [caption]
            if caption
            else [k for k in row if k != image and isinstance(k, str) and keys.is_caption(k)]
        )
        raise ValueError("a caption is empty" if any(k in row for k in known) else "a row has no caption")
    return pair_members(read_picture(_only(row[image]), roots), row[text])


def pair_members(picture: Picture, captions: Any) -> Iterator[Members | str]:
    """A sample for each caption of an image; the reason where a caption will not do."""
    for caption in keys.captions(captions):
        try:
            yield {picture.ending: picture.content, "txt": text_member(caption)}
        except ValueError as error:
            yield str(error)


def _pair_images(row: Any, caption: str | None) -> list[Any]:
    key = keys.image_key(row) if isinstance(row, dict) else None
    return [] if key is None else [row[key]]


def _dialogue(row: Any, roots: Sequence[Path], caption: str | None) -> Iterator[Members | str]:
    """A document, with its images as members in the order in which they are seen."""
    read = read_dialogue(row)
    pictures = [read_picture(source, roots) for source in read.sources()]
    images = {f"{number}.{picture.ending}": picture.content for number, picture in enumerate(pictures)}
    parts = [
        {"see": part.image} if isinstance(part, See) else {"text": part.text, "learn": part.learn}
        for part in read.parts(list(images))
        if isinstance(part, (See, Text))
    ]
    yield {"json": json_member({"parts": parts})} | images


def _dialogue_images(row: Any, caption: str | None) -> list[Any]:
    return read_dialogue(row).sources()


def _edits(row: Any, roots: Sequence[Path], caption: str | None) -> Iterator[Members | str]:
    found = keys.edit_keys(row, caption)
    if found is None:
        raise ValueError("an edit has not its image, instruction and result")
    source, instruction, target = found
    before, after = (read_picture(_only(row[key]), roots) for key in (source, target))
    return edit_members(before, row[instruction], after)


def edit_members(before: Picture, instructions: Any, after: Picture) -> Iterator[Members | str]:
    """A sample for each instruction; the reason where one will not do."""
    for instruction in keys.captions(instructions):
        try:
            text = text_member(instruction).decode("utf-8")
        except ValueError as error:
            yield str(error).replace("a caption", "an instruction")
            continue
        one, two = f"0.{before.ending}", f"1.{after.ending}"
        parts = [{"see": one}, {"text": text, "learn": False}, {"draw": two}]
        yield {"json": json_member({"parts": parts}), one: before.content, two: after.content}


def _edit_images(row: Any, caption: str | None) -> list[Any]:
    found = keys.edit_keys(row, caption)
    return [row[found[0]], row[found[2]]] if found else []


def _only(images: Any) -> Any:
    if not isinstance(images, list):
        return images
    if len(images) != 1:
        raise ValueError("a row has several images and one caption")
    return images[0]


class Kind(NamedTuple):
    """How rows of a kind become samples, and the images that one names or holds."""

    samples: Callable[[Any, Sequence[Path], str | None], Iterator[Members | str]]
    images: Callable[[Any, str | None], list[Any]]


KINDS = {
    PAIRS: Kind(_pairs, _pair_images),
    DIALOGUES: Kind(_dialogue, _dialogue_images),
    EDITS: Kind(_edits, _edit_images),
}


def text_member(text: Any) -> bytes:
    """A text as the member of a sample.

    Raises:
        ValueError: it is none, is empty, stands for none, or is longer than training reads.
    """
    if not isinstance(text, str):
        raise ValueError("a caption is no text")
    if not text.strip():
        raise ValueError("a caption is empty")
    if text.strip().lower() in MISSING:
        raise ValueError(f"a caption is what stands for a missing value: {text.strip()}")
    return _encode(text.strip(), MAX_TEXT_BYTES)


def json_member(value: Any) -> bytes:
    """A JSON value as the member of a sample; raises ValueError if it is longer than training reads."""
    return _encode(json.dumps(value, ensure_ascii=False), MAX_JSON_BYTES)


def _encode(text: str, max_bytes: int) -> bytes:
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("a text holds half of a character") from error
    if len(content) > max_bytes:
        raise ValueError(f"a text is longer than {max_bytes >> 10} KiB")
    return content
