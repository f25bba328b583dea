"""A row, from a table or a list, as samples: of pairs, of a dialogue, of edits."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datamodules.conversations import read_dialogue
from datamodules.published_formats import keys
from datamodules.published_formats.pictures import Picture, picture_file, read_picture
from datamodules.published_formats.record import ROW_ERRORS, Members, json_member, text_member
from models.document import See


def pair_members(picture: Picture, captions: Any) -> Iterator[Members | str]:
    """A sample for each caption of an image; the reason where a caption will not do."""
    for caption in keys.captions(captions):
        try:
            yield {picture.ending: picture.content, "txt": text_member(caption)}
        except ValueError as error:
            yield str(error)


def pairs(row: Any, roots: Sequence[Path], caption: str | None) -> Iterator[Members | str]:
    """An image and its captions.

    Raises:
        ValueError: it has none of either, several images, or captions under several keys.
    """
    if not isinstance(row, dict):
        raise ValueError("a row is no object")
    if None in row:  # as csv calls what is beyond the header
        raise ValueError("a row has more fields than its header: put those with commas in quotes")
    image, words = keys.image_key(row), keys.caption_key(row, caption, "a row")
    if image is None:
        raise ValueError("a row has no image")
    if words is None:
        raise ValueError(
            "a caption is empty" if _has_caption(row, caption, image) else "a row has no caption"
        )
    return pair_members(read_picture(_one(row[image]), roots), row[words])


def pair_files(row: Any, roots: Sequence[Path]) -> Iterator[Path]:
    """The image that a row of a pair names."""
    key = keys.image_key(row) if isinstance(row, dict) else None
    yield from _files([] if key is None else [row[key]], roots)


def dialogue_files(row: Any, roots: Sequence[Path]) -> Iterator[Path]:
    """The images that a dialogue names; none of one that `dialogue` refuses."""
    try:
        sources = read_dialogue(row).sources()
    except ROW_ERRORS:
        return
    yield from _files(sources, roots)


def edit_files(row: Any, roots: Sequence[Path], caption: str | None) -> Iterator[Path]:
    """The two images that an edit names."""
    found = keys.edit_keys(row, caption) if isinstance(row, dict) else None
    yield from _files([row[found[0]], row[found[2]]] if found else [], roots)


def _files(images: Sequence[Any], roots: Sequence[Path]) -> Iterator[Path]:
    each = (one for image in images for one in (image if isinstance(image, list) else [image]))
    yield from (path for one in each if (path := picture_file(one, roots)) is not None)


def _has_caption(row: dict[str, Any], asked: str | None, image: str) -> bool:
    return any(
        name == asked if asked else name != image and isinstance(name, str) and keys.is_caption(name)
        for name in row
    )


def _one(images: Any) -> Any:
    if not isinstance(images, list):
        return images
    if len(images) != 1:
        raise ValueError("a row has several images and one caption")
    return images[0]


def dialogue(row: Any, roots: Sequence[Path], caption: str | None = None) -> Iterator[Members | str]:
    """A dialogue as a document, with its images as members in the order in which they are seen.

    Raises:
        ValueError: it is none that can be learned from, or an image is missing.
    """
    read = read_dialogue(row)
    pictures = [read_picture(source, roots) for source in read.sources()]
    names = [f"{number}.{picture.ending}" for number, picture in enumerate(pictures)]
    parts = [
        {"see": part.image} if isinstance(part, See) else {"text": part.text, "learn": part.learn}
        for part in read.parts(names)
    ]
    members = {"json": json_member({"parts": parts})}
    yield members | {name: picture.content for name, picture in zip(names, pictures, strict=True)}


def edits(row: Any, roots: Sequence[Path], caption: str | None = None) -> Iterator[Members | str]:
    """An image, an instruction and the image that it leads to; of several instructions, a sample each.

    Raises:
        ValueError: one of them is missing.
    """
    found = keys.edit_keys(row, caption) if isinstance(row, dict) else None
    if found is None:
        raise ValueError("an edit has not its image, instruction and result")
    source, words, target = found
    before, after = (read_picture(_one(row[key]), roots) for key in (source, target))
    return edit_members(before, row[words], after)


def edit_members(before: Picture, instructions: Any, after: Picture) -> Iterator[Members | str]:
    """A sample for each instruction; the reason where one will not do."""
    for instruction in keys.captions(instructions):
        try:
            said = text_member(instruction).decode("utf-8")
        except ValueError as error:
            yield str(error).replace("a caption", "an instruction")
            continue
        one, two = f"0.{before.ending}", f"1.{after.ending}"
        parts = [{"see": one}, {"text": said, "learn": False}, {"draw": two}]
        yield {"json": json_member({"parts": parts}), one: before.content, two: after.content}
