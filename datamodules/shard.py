"""One shard: which samples stand in it, and any of them by its number, whatever was done to the file.

A shard is a WebDataset tar. Only its headers are read at first; a sample is read when its turn comes, so any order
costs no more memory than one sample does, however large the shard is.
"""

import io
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from common.tar_members import BLOCK, DamagedTar, Member, read_members
from datamodules.sample_keys import Content, Entry, group_members

PACKED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf": "7z",
}
POINTER = b"version https://git-lfs"

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
        cut: what is wrong with the file's end, where it has none; the last sample may then be a part of one.
        dotted: keys that have dots of their own (`datamodules/sample_keys.py`).
        ignored: names of what a Mac or a Windows leaves beside the files, which is no sample.

    Raises:
        BrokenShard: it is missing, empty, packed, or no tar.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.cut = str(path), None
        self.entries: list[Entry] = []
        self.dotted: list[str] = []
        self.ignored: list[str] = []
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe waits for whoever writes into it
                raise BrokenShard("the shard cannot be opened: it is no plain file")
            self.file: BinaryIO = open(path, "rb")  # noqa: SIM115 - it lives as long as the shard
        except FileNotFoundError:
            raise BrokenShard("the shard is missing") from None
        except BrokenShard:
            raise
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BrokenShard(f"the shard cannot be opened: {reason}") from error
        try:
            self._index()
        except OSError as error:  # a folder, or a disk that fails
            self.close()
            raise BrokenShard(f"the shard cannot be read: {error.strerror}") from error
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self.entries)

    def close(self) -> None:
        """Lets go of the file."""
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

    def may_be_a_part(self, number: int) -> bool:
        """Whether what is missing from a sample went with the shard's own end, and is counted there."""
        return self.cut is not None and number == len(self.entries) - 1

    def fingerprint(self) -> int:
        """A number of the samples' keys and sizes, which another shard of the same name will hardly have."""
        of = [
            (e.key, [(ending, content.size) for ending, content in e.members.items()]) for e in self.entries
        ]
        return zlib.crc32(repr(of).encode("utf-8", "backslashreplace"))

    def _content(self, content: Content) -> bytes:
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

    def _index(self) -> None:
        start = self.file.read(BLOCK)
        if not start:
            raise BrokenShard("the shard is an empty file")
        for magic, name in PACKED.items():
            if start.startswith(magic):
                raise BrokenShard(
                    f"the shard is packed: unpack {name} first, so that samples can be read in any order"
                )
        if start.startswith(POINTER):
            raise BrokenShard("the shard is a pointer of git-lfs: fetch the file itself with `git lfs pull`")
        grouped = group_members(self._members())
        self.entries, self.dotted, self.ignored = grouped.entries, grouped.dotted, grouped.ignored
        if not self.entries:
            raise BrokenShard(self.cut or "the shard holds no samples")

    def _members(self) -> Iterator[Member]:
        """What stands in the file, up to its end or to where it is damaged, which `cut` then tells."""
        try:
            yield from read_members(self.file)
        except DamagedTar as error:
            if error.start:
                raise BrokenShard(f"the shard is not a tar file: {error.__cause__}") from error
            self.cut = f"the shard is cut short or damaged: {error}"


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Writes a member; its time and owner are zero, so the same content gives the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
