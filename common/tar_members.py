"""The members of a tar file: names, kinds, and where their bytes lie, up to the file's end or to where it is damaged.

Most headers are read here, as tarfile takes ten times as long; it reads the others (long names, pax, sparse files).
"""

import io
import os
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK = tarfile.BLOCKSIZE
MAX_HEADER = 16 * 2**20  # bytes of a long name or of pax records: more are no name
PLAIN, LINK, SYMLINK, FOLDER, LABEL, OTHER = "file", "hard link", "symbolic link", "folder", "label", "other"
KINDS = {
    tarfile.LNKTYPE: LINK,
    tarfile.SYMTYPE: SYMLINK,
    tarfile.DIRTYPE: FOLDER,
    b"V": LABEL,  # GNU tar's name of a volume
}
# What makes a pax header matter here; its other records are dates and owners.
PAX_RECORDS = (b" path=", b" size=", b" GNU.", b"linkpath=", b"hdrcharset=")
# What tarfile raises at damage, which leads it anywhere.
DAMAGE = (tarfile.TarError, ValueError, ArithmeticError, LookupError, RecursionError, MemoryError, TypeError)


class DamagedTar(ValueError):
    """From here on the file cannot be read; `start`: nothing of it can."""

    def __init__(self, reason: str, start: bool = False) -> None:
        super().__init__(reason)
        self.start = start


class Member(NamedTuple):
    """One member.

    Attributes:
        name: as it stands in the tar; bytes that are no UTF-8 are kept as surrogates.
        kind: one of PLAIN, LINK, SYMLINK, FOLDER, LABEL, OTHER.
        size: bytes of its content.
        offset: where its content stands in the file.
        pieces: of a sparse file, (offset in the content, offset in the file, size) of what is not zero.
        target: of a link.
    """

    name: str
    kind: str
    size: int
    offset: int
    pieces: tuple[tuple[int, int, int], ...] | None = None
    target: str = ""


def read_members(file: BinaryIO) -> Iterator[Member]:
    """The members in order. What follows an end mark is read too, as where tars were laid one behind the other.

    Raises:
        DamagedTar: what comes next is no header, or the file ends before its mark.
    """
    size, offset = file.seek(0, os.SEEK_END), 0
    while True:
        file.seek(offset)
        block = file.read(BLOCK)
        if len(block) < BLOCK:
            raise DamagedTar(f"at byte {size} it ends without a mark")
        if not block.strip(b"\0"):
            if (after := _after_zeros(file, offset + BLOCK)) is None:
                return
            offset = after
            continue
        try:
            member, following, stored = _member(file, block, offset)
        except DAMAGE as error:
            raise DamagedTar(f"what stands at byte {offset} is no header ({error})", offset == 0) from error
        if stored > size:
            raise DamagedTar(f"at byte {size} it ends inside a member")
        if member is not None:
            yield member
        offset = following


def _after_zeros(file: BinaryIO, offset: int) -> int | None:
    """The first block from `offset` on that is not zero; None where there is none."""
    file.seek(offset)
    while chunk := file.read(1 << 20):
        if rest := chunk.lstrip(b"\0"):
            return offset + (len(chunk) - len(rest)) // BLOCK * BLOCK
        offset += len(chunk)
    return None


def _member(file: BinaryIO, block: bytes, offset: int) -> tuple[Member | None, int, int]:
    """The member whose header a block is, where the next header stands, and where its own bytes end.

    None for the member: the header holds nothing that matters.
    """
    kind, magic = block[156:157], block[257:263]
    if block[124] & 0x80 == 0 and magic in (b"ustar\0", b"ustar "):
        size, start = _octal(block[124:136]), offset + BLOCK
        if kind in (tarfile.REGTYPE, tarfile.AREGTYPE):
            if _octal(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * 32:
                raise ValueError("its checksum is wrong")
            name = _name(block, magic)
            member = Member(name, FOLDER if name.endswith("/") else PLAIN, size, start)
            return member, start + _blocks(size), start + size
        if kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            if size > MAX_HEADER:
                raise ValueError(f"it declares {size} bytes of header")
            about = file.read(size) if kind == tarfile.XHDTYPE else b" path="
            if len(about) == size and not any(record in about for record in PAX_RECORDS):
                return None, start + _blocks(size), start + size
    return _by_tarfile(file, offset)


def _by_tarfile(file: BinaryIO, offset: int) -> tuple[Member, int, int]:
    file.seek(offset)
    with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
        info = tar.firstmember
        if info is None or tar.offset <= offset or info.size < 0:
            raise ValueError("it cannot be read")
        following = tar.offset
    if not info.isreg():
        kind = KINDS.get(info.type, OTHER)
        return Member(info.name, kind, 0, info.offset_data, None, info.linkname), following, info.offset_data
    if info.sparse is None:
        return Member(info.name, PLAIN, info.size, info.offset_data), following, info.offset_data + info.size
    pieces, end, done = [], info.offset_data, 0
    for start, size in info.sparse:
        if size == 0:  # old headers have room for four, and leave those that they do not need empty
            continue
        if start < done or size < 0 or start + size > info.size:
            raise ValueError("the pieces of a sparse file do not fit it")
        pieces.append((start, end, size))
        end, done = end + size, start + size
    return Member(info.name, PLAIN, info.size, info.offset_data, tuple(pieces)), following, end


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


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Writes a member; its time and owner are zero, so the same content gives the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
