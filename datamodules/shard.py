"""One shard: which samples stand in it, and any of them by its number, whatever was done to the file.

A shard is a WebDataset tar. Only its headers are read at first; a sample is read when its turn comes, so any order
costs no more memory than one sample does, however large the shard is.
"""

import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from webdataset.tariterators import base_plus_ext

BLOCK = tarfile.BLOCKSIZE
MOST_BYTES = 256 * 2**20  # of one member: larger ones are no sample of ours
GZIP, ZSTD, ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
PACKED = {GZIP: "gzip", ZSTD: "zstd", ZIP: "zip"}

Sample = dict[str, Any]


class BrokenShard(ValueError):
    """Nothing in this shard can be read."""


class BrokenSample(ValueError):
    """This sample cannot be read; the others of its shard can."""


@dataclass
class Entry:
    """Where the members of one sample lie: (offset, size) by ending; `fault` says why it is not to be read."""

    key: str
    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    fault: str | None = None


class Shard:
    """The samples of one local tar file.

    Args:
        path: the file.

    Attributes:
        entries: the samples, in the order of their first members.
        cut: what is wrong with the file's end, where it has none; the last sample may then be a part of one.

    Raises:
        BrokenShard: it is missing, empty, packed, or no tar.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.entries, self.cut = str(path), [], None
        try:
            self.file: BinaryIO = open(path, "rb")  # noqa: SIM115 - it lives as long as the shard
        except FileNotFoundError:
            raise BrokenShard("the shard is missing") from None
        except OSError as error:
            raise BrokenShard(f"the shard cannot be opened: {error.strerror}") from error
        try:
            self._index()
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
        for ending, (offset, size) in entry.members.items():
            self.file.seek(offset)
            content = self.file.read(size)
            if len(content) < size:
                raise BrokenSample("the shard has become shorter since it was opened")
            sample[ending] = content
        return sample

    def may_be_a_part(self, number: int) -> bool:
        """Whether what is missing from a sample went with the shard's own end, and is counted there."""
        return self.cut is not None and number == len(self.entries) - 1

    def _index(self) -> None:
        start = self.file.read(BLOCK)
        if not start:
            raise BrokenShard("the shard is an empty file")
        for magic, name in PACKED.items():
            if start.startswith(magic):
                raise BrokenShard(
                    f"the shard is packed: unpack {name} first, so that samples can be read in any order"
                )
        by_key: dict[str, Entry] = {}
        last: Entry | None = None
        for member in self._members(self.file.seek(0, os.SEEK_END)):
            last = self._add(member, by_key, last)
        self.entries = list(by_key.values())
        if not self.entries and self.cut is not None:
            raise BrokenShard(self.cut)

    def _members(self, size: int) -> Iterator[tarfile.TarInfo]:
        """What stands in the file, up to its end mark or to where it is damaged, which `cut` then tells."""
        offset = 0
        while True:
            self.file.seek(offset)
            block = self.file.read(BLOCK)
            if len(block) < BLOCK:
                self.cut = f"the shard is cut short or damaged: at byte {size} it ends without a mark"
                return
            if not block.strip(b"\0"):
                return
            try:
                member, offset = self._member(block, offset)
            except (tarfile.TarError, ValueError) as error:
                if offset == 0:
                    raise BrokenShard(f"the shard is not a tar file: {error}") from error
                self.cut = (
                    f"the shard is cut short or damaged: what stands at byte {offset} is no header ({error})"
                )
                return
            if member is None:
                continue
            if member.offset_data + member.size > size:
                self.cut = f"the shard is cut short or damaged: at byte {size} it ends inside a member"
                return
            yield member

    def _member(self, block: bytes, offset: int) -> tuple[tarfile.TarInfo | None, int]:
        """The member whose header a block is, and where the next stands. None: it only says when the next was changed."""
        kind, magic = block[156:157], block[257:263]
        plain = kind in (tarfile.REGTYPE, tarfile.AREGTYPE) and not block[124] & 0x80
        if plain and magic in (b"ustar\0", b"ustar "):  # most are, and tarfile takes ten times as long
            member = tarfile.TarInfo(_name(block, magic))
            member.size, member.offset, member.offset_data = _octal(block[124:136]), offset, offset + BLOCK
            if _octal(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * 32:
                raise ValueError("its checksum is wrong")
            return member, offset + BLOCK + _blocks(member.size)
        if kind == tarfile.XHDTYPE and not block[124] & 0x80 and (size := _octal(block[124:136])) < 2**20:
            about = self.file.read(size)
            if len(about) == size and not any(
                word in about for word in (b" path=", b" size=", b" GNU.", b"linkpath=")
            ):
                return None, offset + BLOCK + _blocks(size)
        self.file.seek(offset)
        with tarfile.open(fileobj=self.file, mode="r:") as tar:
            if tar.firstmember is None or tar.offset <= offset or tar.firstmember.size < 0:
                raise ValueError("it cannot be read")
            return tar.firstmember, tar.offset

    def _add(self, member: tarfile.TarInfo, by_key: dict[str, Entry], last: Entry | None) -> Entry | None:
        if member.isdir():
            return last
        key, ending = base_plus_ext(member.name)
        if key is None or not ending:
            key, ending = member.name, ""
        if PurePosixPath(key).name.startswith("."):  # what a Mac or an editor leaves beside the files
            return last
        known = by_key.get(key)
        entry = known or by_key.setdefault(key, Entry(key))
        ending = ending.lower()
        if fault := _fault(member, ending, entry, apart=known is not None and known is not last):
            entry.fault = entry.fault or fault
        else:
            entry.members[ending] = (member.offset_data, member.size)
        return entry


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Writes a member; its time and owner are zero, so the same content gives the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _fault(member: tarfile.TarInfo, ending: str, entry: Entry, apart: bool) -> str | None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        return "a member's name leads out of the shard"
    if not member.isreg():
        return "a member is no plain file"
    if not ending:
        return "a member's name has no ending"
    if member.size > MOST_BYTES:
        return f"a member is larger than {MOST_BYTES >> 20} MiB"
    if ending in entry.members:
        return "two members have one name"
    if apart:
        return "its members do not stand together"
    return None


def _name(block: bytes, magic: bytes) -> str:
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0] if magic == b"ustar\0" else b""  # GNU's own keeps dates there
    return (prefix + b"/" + name if prefix else name).decode("utf-8", "surrogateescape")


def _octal(field: bytes) -> int:
    number = int(field.strip(b" \0") or b"0", 8)
    if number < 0:
        raise ValueError("it holds a number below zero")
    return number


def _blocks(size: int) -> int:
    """Bytes that a member of `size` takes."""
    return -(-size // BLOCK) * BLOCK
