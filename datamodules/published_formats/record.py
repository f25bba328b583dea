"""What a format is: a listing in chunks that a process can take, and the samples of each, or why there are none."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datamodules.decode import MOST_JSON, MOST_TEXT

Chunk = Any  # what a format needs to find some samples again: JSON values alone, so that a listing has a fingerprint
Members = dict[str, bytes]

MISSING = {"nan", "none", "null", "<na>", "n/a"}  # what tables are saved with where there was no caption

# What foreign rows and files may lead to: what is not here is a fault of ours, and ends the conversion.
ROW_ERRORS = (ValueError, OSError, OverflowError, RecursionError, MemoryError)


@dataclass(frozen=True)
class Options:
    """What a user asks for.

    Attributes:
        source: a file or a folder.
        images: where the paths of images start; None: beside the file that names them.
        caption: the key or column of captions; None: the only one that is known.
        split: the split to take, "all", or None for train.
        size: samples of a shard.
        out: where shards go, which is no part of the source.
    """

    source: Path
    images: Path | None = None
    caption: str | None = None
    split: str | None = None
    size: int = 2000
    out: Path | None = None


@dataclass(frozen=True)
class Made:
    """A sample: bytes by ending."""

    members: Members


@dataclass(frozen=True)
class Refused:
    """Something of the source that is in no shard: what it is, and why. Words up to a colon are the reason's kind."""

    what: str
    reason: str

    @property
    def kind(self) -> str:
        """What it is counted by."""
        return self.reason.partition(":")[0]


@dataclass(frozen=True)
class Listing:
    """All of a source: chunks, what was left out before, and the template that reads the samples."""

    chunks: list[Chunk]
    template: str
    left: list[Refused] = field(default_factory=list)


@dataclass(frozen=True)
class Format:
    """A way in.

    Attributes:
        listing: all of a source.
        samples: those of a chunk.
        files: those that `samples` will read for a chunk, as far as that is known without reading them.
    """

    listing: Callable[[Options], Listing]
    samples: Callable[[Options, Chunk], Iterator[Made | Refused]]
    files: Callable[[Options, Chunk], Iterator[Path]]


def check_unused(options: Options, images: bool = False, caption: bool = False, split: bool = False) -> None:
    """Makes sure that options which would do nothing are not given.

    Raises:
        ValueError: one is.
    """
    for name, unused in (("images", images), ("caption", caption), ("split", split)):
        if unused and getattr(options, name) is not None:
            raise ValueError(f"--{name} has no meaning for {options.source}: leave it out")


def slices(rows: Sequence[Any], size: int) -> list[Chunk]:
    """Rows in chunks."""
    return [list(rows[start : start + size]) for start in range(0, len(rows), size)]


def attempt(what: str, make: Callable[[], Iterable[Members | str]]) -> Iterator[Made | Refused]:
    """The samples of one row; where one cannot be made, the reason stands in its place."""
    try:
        for made in make():
            yield Refused(what, made) if isinstance(made, str) else Made(made)
    except ROW_ERRORS as error:
        yield Refused(what, _line(error))


def _line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"a file cannot be read: {error.strerror}"
    return " ".join(str(error).split())[:300] or type(error).__name__


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
    return _encoded(text.strip(), MOST_TEXT)


def json_member(value: Any) -> bytes:
    """A JSON value as the member of a sample.

    Raises:
        ValueError: it is longer than training reads.
    """
    return _encoded(json.dumps(value, ensure_ascii=False), MOST_JSON)


def _encoded(text: str, most: int) -> bytes:
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("a text holds half of a character") from error
    if len(content) > most:
        raise ValueError(f"a text is longer than {most >> 10} KiB")
    return content
