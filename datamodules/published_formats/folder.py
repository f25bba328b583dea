"""folder: images, each with a .txt of its name, or all with their captions in one file, as ImageFolder and COCO."""

import posixpath
from collections.abc import Iterator
from pathlib import Path

from common.foreign_files import check_file
from common.images import has_image_extension
from common.text import read_text
from datamodules.published_formats import keys, tables
from datamodules.published_formats.files import check_split, of_split, plain, split_of, walk
from datamodules.published_formats.pictures import read_file
from datamodules.published_formats.record import (
    Chunk,
    Listing,
    Made,
    Members,
    Options,
    Refused,
    attempt,
    check_unused,
    slices,
)
from datamodules.published_formats.rows import JSON_ENDINGS, LISTS, Row, read_rows, rows_of_split
from datamodules.published_formats.samples import pair_files, pair_members, pairs

LISTED = tuple(f"metadata{ending}" for ending in (*JSON_ENDINGS, ".csv", ".tsv", ".parquet"))
LISTED += tuple(f"captions{ending}" for ending in LISTS)
MOST_BYTES = 1 << 20  # of a text beside an image: a caption is far shorter
BESIDE = (".txt", ".caption")  # the second is what trainers of Stable Diffusion write


def listing(options: Options) -> Listing:
    """Images with what is beside them, or the rows of the files that list captions.

    Raises:
        ValueError: two files list captions in one folder, or captions are under several keys.
    """
    left: list[Refused] = []
    if options.source.is_file():
        return _of_lists([Path(options.source.name)], options, left)
    names = walk(options.source, left, options.out)
    lists = [name for name in names if name.name.lower() in LISTED and not _is_beside(name, names)]
    if lists:
        found = _of_lists(of_split(lists, options, left), options, left)
        _count_unlisted(names, found.chunks, options, left)
        return found
    check_unused(options, images=True, caption=True)
    images = [name for name in names if has_image_extension(name.name)]
    beside = {name for name in names if name.suffix.lower() in BESIDE}
    used: set[Path] = set()
    records = []
    for image in of_split(images, options, left):
        text = next((path for path in _texts(image) if path in beside), None)
        used |= {text} if text else set()
        records.append([str(image), str(text) if text else None])
    used |= {text for image in images for text in _texts(image)}  # those of images that were left out, too
    left += [Refused(str(name), "a text has no image beside it") for name in sorted(beside - used)]
    others = [name for name in names if name not in beside and not has_image_extension(name.name)]
    left += [
        Refused(str(name), f"a file that ends in {name.suffix or 'nothing'} is not read") for name in others
    ]
    return Listing(slices(records, options.size), tables.PAIRS, left)


def _texts(image: Path) -> list[Path]:
    """Where the caption of an image may stand."""
    endings = [ending for name in BESIDE for ending in (name, name.upper())]
    return [path for e in endings for path in (image.with_suffix(e), image.with_name(image.name + e))]


def _is_beside(name: Path, names: list[Path]) -> bool:
    """Whether captions.txt is the caption of an image named captions.jpg."""
    return name.suffix.lower() == ".txt" and any(
        other.stem == name.stem and other.parent == name.parent and has_image_extension(other.name)
        for other in names
    )


def _of_lists(lists: list[Path], options: Options, left: list[Refused]) -> Listing:
    root = plain(options)
    for one, other in zip(lists, lists[1:], strict=False):
        if one.parent == other.parent:
            raise ValueError(
                f"{root / one.parent} lists captions in {one.name} and in {other.name}: name one of the two, "
                f"as {root / other}, with --images {root / one.parent}"
            )
    records = []
    for path in lists:
        rows = rows_of_split(read_rows(root / path), check_split(options), left)
        _check_keys(rows, root / path, options.caption)
        folder = str(path.parent)
        records += [[where if folder == "." else f"{folder}/{where}", row, folder] for where, row in rows]
    return Listing(slices(records, options.size), tables.PAIRS, left)


def _count_unlisted(names: list[Path], chunks: list[Chunk], options: Options, left: list[Refused]) -> None:
    """Counts the images of the folder that no row names."""
    if options.images is not None:  # the rows speak of another folder
        return
    records = [record for chunk in chunks for record in chunk]
    named = [(keys.named_image(row), folder) for _, row, folder in records]
    known = {
        posixpath.normpath(path) for name, folder in named if name for path in (name, f"{folder}/{name}")
    }
    taken = (None, check_split(options))
    left += [
        Refused(str(name), "no row names an image")
        for name in names
        if has_image_extension(name.name) and str(name) not in known and split_of(name) in taken
    ]


def _check_keys(rows: list[Row], path: Path, asked: str | None) -> None:
    """Makes sure that captions are under one key.

    Raises:
        ValueError: some row has several, or no row has any.
    """
    objects = [row for _, row in rows if isinstance(row, dict)]
    found = [
        keys.caption_key(row, asked, f"{path.parent / where}") for where, row in rows if isinstance(row, dict)
    ]
    if rows and not any(found):
        known = ", ".join(dict.fromkeys(str(key) for row in objects[:100] for key in row)) or "none"
        what = f"no key {asked!r}" if asked else "no key of captions that is known"
        raise ValueError(f"{path} has {what}, among {known}: choose with --caption")


def samples(options: Options, chunk: Chunk) -> Iterator[Made | Refused]:
    """The samples of some images or rows."""
    root = options.images or plain(options)
    for record in chunk:
        if len(record) == 2:
            image, text = record
            yield from attempt(image, lambda image=image, text=text: _beside(options.source, image, text))
        else:
            where, row, folder = record
            roots = [root / folder, root]
            yield from attempt(where, lambda row=row, roots=roots: pairs(row, roots, options.caption))


def files(options: Options, chunk: Chunk) -> Iterator[Path]:
    """Images with their captions, or the images that rows name."""
    root = options.images or plain(options)
    for record in chunk:
        if len(record) == 2:
            yield from (options.source / name for name in record if name is not None)
        else:
            _, row, folder = record
            yield from pair_files(row, [root / folder, root])


def _beside(source: Path, image: str, text: str | None) -> Iterator[Members | str]:
    if text is None:
        raise ValueError("an image has no caption beside it")
    picture = read_file(source / image)
    try:
        check_file(source / text, MOST_BYTES)
        caption = read_text(source / text)
    except ValueError as error:
        raise ValueError(f"a caption cannot be read: {error}") from error
    return pair_members(picture, caption)
