"""One shard, a WebDataset tar: its samples by number, whatever was done to the file.

Only the headers are read at first, and a sample when it is asked for, so any order costs the memory of one sample.
"""

import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from common.foreign_files import POINTER
from common.tar_members import BLOCK, DamagedTar, Member, read_members
from datamodules.sample_keys import group_members

PACKERS = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf": "7z",
}

Sample = dict[str, Any]


class BrokenShard(ValueError):
    """Nothing in this shard can be read."""


class BrokenSample(ValueError):
    """This sample cannot be read; the others of its shard can."""


class Shard:
    """The samples of one local tar file.

    Args:
        path: the file.

    Attributes:
        entries: the samples, in the order of their first members.
        cut: what is wrong with the file's end, where it is damaged; the last sample may then be incomplete.
        dotted: keys that have dots of their own (`datamodules/sample_keys.py`).
        ignored: names of files that macOS or Windows leave in folders, which are no samples.

    Raises:
        BrokenShard: it is missing, empty, packed, or no tar.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.cut: str | None = None
        self.file = _open(path)
        try:
            grouped = group_members(self._members())
            if not grouped.entries:
                raise BrokenShard(self.cut or "the shard holds no samples")
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):  # a disk that fails
                raise BrokenShard(f"the shard cannot be read: {error.strerror}") from error
            raise
        self.entries, self.dotted, self.ignored = grouped.entries, grouped.dotted, grouped.ignored

    def __len__(self) -> int:
        return len(self.entries)

    def close(self) -> None:
        """Closes the file."""
        self.file.close()

    def read(self, number: int) -> Sample:
        """One sample: bytes by ending, with its `__key__` and `__url__`.

        Raises:
            BrokenSample: it has no whole members.
        """
        entry = self.entries[number]
        if entry.fault is not None:
            raise BrokenSample(entry.fault)
        sample: Sample = {"__key__": entry.key, "__url__": self.path}
        for ending, content in entry.members.items():
            sample[ending] = self._content(content)
        return sample

    def may_be_cut(self, number: int) -> bool:
        """Whether what is missing from a sample was lost with the shard's end, and is counted there."""
        return self.cut is not None and number == len(self.entries) - 1

    def faults(self, declared: int | None) -> tuple[list[tuple[str, int]], int]:
        """What is wrong beside single samples, as (reason, samples lost by it), and the samples that are missing in all.

        Args:
            declared: samples by the index.json beside the shard; None where it has none.
        """
        faults: list[tuple[str, int]] = []
        missing = 0 if declared is None else declared - len(self)
        index = f"samples than its index.json says: {len(self)} of {declared}"
        if self.dotted:
            what = f"{len(self.dotted)}, as {self.dotted[0]!r}; other readers cut at the first dot"
            faults.append((f"samples with dots in their names are read whole: {what}", 0))
        if missing < 0:
            faults.append((f"the shard holds more {index}", 0))
        if self.cut is not None:
            missing = max(1, missing)
            faults.append((self.cut, missing))
        elif missing > 0:
            faults.append((f"the shard holds fewer {index}", missing))
        return faults, max(0, missing)

    def fingerprint(self) -> int:
        """A checksum of the samples' keys and sizes."""
        sizes = [(entry.key, [(name, m.size) for name, m in entry.members.items()]) for entry in self.entries]
        return zlib.crc32(repr(sizes).encode("utf-8", "backslashreplace"))

    def _content(self, content: Member) -> bytes:
        if content.pieces is None:
            return self._bytes(content.offset, content.size)
        whole = bytearray(content.size)  # a sparse file: what is not in a piece is zero
        for start, offset, size in content.pieces:
            whole[start : start + size] = self._bytes(offset, size)
        return bytes(whole)

    def _bytes(self, offset: int, size: int) -> bytes:
        self.file.seek(offset)
        content = self.file.read(size)
        if len(content) < size:
            raise BrokenSample("the shard has become shorter since it was opened")
        return content

    def _members(self) -> Iterator[Member]:
        """The file's members up to its end, or to where it is damaged, which `cut` then describes."""
        start = self.file.read(BLOCK)
        if not start:
            raise BrokenShard("the shard is an empty file")
        if packed := packed_by(start):
            raise BrokenShard(f"the shard is packed: unpack {packed} first, to read samples in any order")
        if start.startswith(POINTER):
            raise BrokenShard("the shard is a pointer of git-lfs: fetch the file itself with `git lfs pull`")
        try:
            yield from read_members(self.file)
        except DamagedTar as error:
            if error.start:
                raise BrokenShard(f"the shard is not a tar file: {error.__cause__}") from error
            self.cut = f"the shard is cut short or damaged: {error}"


def _open(path: str | Path) -> BinaryIO:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe waits for whoever writes into it
            raise BrokenShard("the shard cannot be opened: it is no plain file")
        return open(path, "rb")
    except FileNotFoundError:
        raise BrokenShard("the shard is missing") from None
    except BrokenShard:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BrokenShard(f"the shard cannot be opened: {reason}") from error


def packed_by(start: bytes) -> str | None:
    """The program that packed a file which begins with these bytes; None: it is not packed."""
    return next((name for magic, name in PACKERS.items() if start.startswith(magic)), None)
