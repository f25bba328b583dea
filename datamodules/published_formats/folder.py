"""folder: images, each with a .txt of its name, or all with their captions in one file, as ImageFolder and COCO."""

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from common.foreign_files import check_file
from common.images import has_image_extension
from common.text import read_text
from datamodules.published_formats import keys
from datamodules.published_formats.files import check_split, of_split, split_of, walk
from datamodules.published_formats.listing import Chunk, Listing, Members, Options, Rejected, attempt, chunked
from datamodules.published_formats.pictures import read_file
from datamodules.published_formats.row_samples import PAIRS, ListedRow, RowChunk, pair_members
from datamodules.published_formats.rows import JSON_ENDINGS, LISTS, Row, read_rows, rows_of_split

LISTED = {f"metadata{ending}" for ending in (*JSON_ENDINGS, ".csv", ".tsv", ".parquet")}
LISTED |= {f"captions{ending}" for ending in LISTS}
MAX_CAPTION_BYTES = 1 << 20  # of a text beside an image: a caption is far shorter
BESIDE = (".txt", ".caption")  # the second is what trainers of Stable Diffusion write


def listing(options: Options) -> Listing:
    """Images with what is beside them, or the rows of the files that list captions.

    Raises:
        ValueError: two files list captions in one folder, or captions are under several keys.
    """
    rejected: list[Rejected] = []
    names = [] if options.source.is_file() else walk(options.source, rejected, options.out)
    lists = [name for name in names if name.name.lower() in LISTED and not _is_beside(name, names)]
    if options.source.is_file() or lists:
        lists = of_split(lists, options, rejected) if lists else [Path(options.source.name)]
        rows = _listed_rows(lists, options, rejected)
        rejected += _unlisted(names, rows, options)
        chunks = [RowChunk(PAIRS, chunk) for chunk in chunked(rows, options.size)]
        return Listing(chunks, PAIRS, rejected)
    options.check_unused("images", "caption")
    images = [name for name in names if has_image_extension(name.name)]
    texts = {name for name in names if name.suffix.lower() in BESIDE}
    pairs = []
    for image in of_split(images, options, rejected):
        text = next((path for path in _texts(image) if path in texts), None)
        pairs.append((str(image), str(text) if text else None))
    unused = texts - {text for image in images for text in _texts(image)}
    rejected += [Rejected(str(name), "a text has no image beside it") for name in sorted(unused)]
    rejected += [
        Rejected(str(name), f"a file that ends in {name.suffix or 'nothing'} is not read")
        for name in names
        if name not in texts and not has_image_extension(name.name)
    ]
    return Listing([CaptionedImages(chunk) for chunk in chunked(pairs, options.size)], PAIRS, rejected)


@dataclass(frozen=True)
class CaptionedImages(Chunk):
    """Names of images with those of the texts beside them."""

    pairs: list[tuple[str, str | None]]

    def samples(self, options: Options) -> Iterator[Members | Rejected]:
        for image, text in self.pairs:
            yield from attempt(image, partial(_pair, options.source, image, text))

    def files(self, options: Options) -> Iterator[Path]:
        yield from (options.source / name for pair in self.pairs for name in pair if name is not None)


def _pair(source: Path, image: str, text: str | None) -> Iterator[Members | str]:
    if text is None:
        raise ValueError("an image has no caption beside it")
    picture = read_file(source / image)
    try:
        check_file(source / text, MAX_CAPTION_BYTES)
        caption = read_text(source / text)
    except ValueError as error:
        raise ValueError(f"a caption cannot be read: {error}") from error
    return pair_members(picture, caption)


def _texts(image: Path) -> list[Path]:
    """The files that may hold the caption of an image."""
    endings = [ending for name in BESIDE for ending in (name, name.upper())]
    return [path for e in endings for path in (image.with_suffix(e), image.with_name(image.name + e))]


def _is_beside(name: Path, names: Sequence[Path]) -> bool:
    """Whether captions.txt is the caption of an image named captions.jpg."""
    return name.suffix.lower() == ".txt" and any(
        other.stem == name.stem and other.parent == name.parent and has_image_extension(other.name)
        for other in names
    )


def _listed_rows(lists: Sequence[Path], options: Options, rejected: list[Rejected]) -> list[ListedRow]:
    root = options.folder
    for one, other in pairwise(lists):
        if one.parent == other.parent:
            raise ValueError(
                f"{root / one.parent} lists captions in {one.name} and in {other.name}: name one of the two, "
                f"as {root / other}, with --images {root / one.parent}"
            )
    listed = []
    for path in lists:
        rows = rows_of_split(read_rows(root / path), check_split(options), rejected)
        _check_keys(rows, root / path, options.caption)
        folder = str(path.parent)
        listed += [ListedRow(str(path.parent / where), row, folder) for where, row in rows]
    return listed


def _unlisted(names: Sequence[Path], rows: Sequence[ListedRow], options: Options) -> Iterator[Rejected]:
    """The images of the folder that no row names; none where the rows speak of another folder."""
    named = [(keys.named_image(row), folder) for _, row, folder in rows]
    paths = (path for name, folder in named for path in (name, f"{folder}/{name}") if name)
    known = set(map(posixpath.normpath, paths))
    splits = (None, check_split(options))
    for name in names if options.images is None else ():
        if has_image_extension(name.name) and str(name) not in known and split_of(name) in splits:
            yield Rejected(str(name), "no row names an image")


def _check_keys(rows: Sequence[Row], path: Path, asked: str | None) -> None:
    """Makes sure that captions are under one key.

    Raises:
        ValueError: some row has several, or no row has any.
    """
    objects = [(where, row) for where, row in rows if isinstance(row, dict)]
    found = [keys.caption_key(row, asked, f"{path.parent / where}") for where, row in objects]
    if rows and not any(found):
        known = ", ".join(dict.fromkeys(str(key) for _, row in objects[:100] for key in row)) or "none"
        what = f"no key {asked!r}" if asked else "no key of captions that is known"
        raise ValueError(f"{path} has {what}, among {known}: choose with --caption")
