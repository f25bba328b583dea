"""What a format lists: its source in chunks, one a shard, each of which makes samples or reports why there are none."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

Row = TypeVar("Row")
Members = dict[str, bytes]  # of one sample, by ending
# What foreign rows and files may lead to: other exceptions are bugs, and end the conversion.
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
        out: where shards go, which is not part of the source.
    """

    source: Path
    images: Path | None = None
    caption: str | None = None
    split: str | None = None
    size: int = 2000
    out: Path | None = None

    @property
    def folder(self) -> Path:
        """The source, or the folder that it lies in."""
        return self.source if self.source.is_dir() else self.source.parent

    def check_unused(self, *names: str) -> None:
        """Makes sure that options which would do nothing are not given; raises ValueError if one is."""
        for name in names:
            if getattr(self, name) is not None:
                raise ValueError(f"--{name} has no meaning for {self.source}: leave it out")


@dataclass(frozen=True)
class Rejected:
    """Something of the source that is in no shard: what it is, and why. Up to a colon the reason is its kind."""

    what: str
    reason: str

    @property
    def kind(self) -> str:
        """What it is counted by."""
        return self.reason.partition(":")[0]


class Chunk(ABC):
    """Some of a source, as much as a shard holds: a dataclass of JSON values, of which a fingerprint is made."""

    @abstractmethod
    def samples(self, options: Options) -> Iterator[Members | Rejected]:
        """Its samples, and what is none."""

    @abstractmethod
    def files(self, options: Options) -> Iterator[Path]:
        """The files that `samples` will read, as far as that is known without reading them."""


@dataclass(frozen=True)
class Listing:
    """All of a source: chunks, what was left out before, and the template that reads the samples."""

    chunks: Sequence[Chunk]
    template: str
    rejected: list[Rejected] = field(default_factory=list)


def chunked(rows: Sequence[Row], size: int) -> list[list[Row]]:
    """Rows by `size`."""
    return [list(rows[start : start + size]) for start in range(0, len(rows), size)]


def attempt(what: str, make: Callable[[], Iterable[Members | str]]) -> Iterator[Members | Rejected]:
    """The samples of one row; the reason where one cannot be made."""
    try:
        for made in make():
            yield Rejected(what, made) if isinstance(made, str) else made
    except ROW_ERRORS as error:
        yield Rejected(what, _line(error))


def _line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"a file cannot be read: {error.strerror}"
    return " ".join(str(error).split())[:300] or type(error).__name__
