"""Which members of a shard belong to one sample: those whose names are alike up to a dot.

WebDataset cuts at the first dot of a file's name: `a.jpg` and `a.dense.txt` are one sample, `a`. Of names that have dots
of their own (`shop 2.0 final.jpg`) that would make one sample of many. So where none of a sample's members has an ending
without a dot, which no template could use, its names are cut at the next dot, and so on.
"""

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from common.images import has_image_extension
from common.tar_members import FOLDER, LABEL, LINK, OTHER, PLAIN, SYMLINK, Member

MOST_BYTES = 256 * 2**20  # of one member: larger ones are no sample of ours
WORDS = ("txt", "json")
# What a Mac, a Windows or a file manager leaves beside the files, and its folders.
LEFTOVERS = {".ds_store", "thumbs.db", "desktop.ini", ".directory"}
LEFTOVER_FOLDER = "__MACOSX"
HOPS = 40  # of links that lead to links


class Content(NamedTuple):
    """Where a member's bytes lie in the shard's file; `pieces` as in `Member`."""

    offset: int
    size: int
    pieces: tuple[tuple[int, int, int], ...] | None


@dataclass
class Entry:
    """Where the members of one sample lie, by ending; `fault` says why it is not to be read."""

    key: str
    members: dict[str, Content] = field(default_factory=dict)
    fault: str | None = None


@dataclass
class Grouped:
    """Samples in the order of their first members; `dotted` of them have dots in their keys, `ignored` were leftovers."""

    entries: list[Entry]
    dotted: list[str]
    ignored: list[str]


@dataclass
class _Found:
    """A member of a sample: its number in the shard, its name, what follows the dot, and why it cannot be read."""

    number: int
    name: str
    ending: str
    member: Member
    fault: str | None = None


def group_members(members: Iterable[Member]) -> Grouped:
    """Samples out of a shard's members."""
    by_key: dict[str, list[_Found]] = {}
    ignored: list[str] = []
    number = 0
    for member in members:
        if member.kind in (FOLDER, LABEL):
            continue
        if _is_leftover(member.name):
            ignored.append(member.name)
            continue
        key, found = _found(number, member)
        by_key.setdefault(key, []).append(found)
        number += 1
    _follow_links([found for group in by_key.values() for found in group])
    groups = [(own, key, own_key) for key, group in by_key.items() for own_key, own in _at_dots(key, group)]
    groups.sort(key=lambda group: group[0][0].number)
    entries = [_entry(own_key, own) for own, _, own_key in groups]
    return Grouped(entries, [own_key for _, key, own_key in groups if own_key != key], ignored)


def _is_leftover(name: str) -> bool:
    base = posixpath.basename(name)
    return base.startswith("._") or base.lower() in LEFTOVERS or LEFTOVER_FOLDER in name.split("/")


def _found(number: int, member: Member) -> tuple[str, _Found]:
    """A member, and its name up to the first dot."""
    if member.name.startswith("/") or ".." in member.name.split("/"):
        fault = "a member's name leads out of the shard"
        return member.name, _Found(number, member.name, "", member, fault)
    name = posixpath.normpath(member.name)  # tar -C folder . writes ./a.jpg
    folder, base = posixpath.split(name)
    stem, _, ending = base.partition(".")
    if not stem:
        return name, _Found(number, name, "", member, "a member's name begins with a dot")
    if not ending:
        return name, _Found(number, name, "", member, "a member's name has no ending")
    return posixpath.join(folder, stem), _Found(number, name, ending, member)


def _follow_links(members: Sequence[_Found]) -> None:
    """Puts what links lead to in their place, where it is in the same shard."""
    links = [found for found in members if found.member.kind in (LINK, SYMLINK)]
    if not links:
        return
    named = {found.name: found.member for found in members}
    for found in links:
        member: Member | None = found.member
        name = found.name
        for _ in range(HOPS):
            if member is None or member.kind not in (LINK, SYMLINK):
                break
            folder = posixpath.dirname(name) if member.kind == SYMLINK else ""
            name = posixpath.normpath(posixpath.join(folder, member.target))
            member = named.get(name)
        if member is not None and member.kind == PLAIN:
            found.member = member


def _at_dots(key: str, members: list[_Found]) -> list[tuple[str, list[_Found]]]:
    """The samples of members that are alike up to a dot, by their keys."""
    whole, waiting = [], [(key, members)]
    while waiting:
        key, members = waiting.pop()
        if any("." not in found.ending for found in members):
            whole.append((key, members))
            continue
        deeper: dict[str, list[_Found]] = {}
        for found in members:
            more, _, found.ending = found.ending.partition(".")
            deeper.setdefault(f"{key}.{more}", []).append(found)
        waiting += deeper.items()
    return whole


def _entry(key: str, members: list[_Found]) -> Entry:
    entry = Entry(key)
    for found in members:
        found.ending = found.ending.lower()
        if fault := found.fault or _fault(found, entry):
            entry.fault = entry.fault or fault
            continue
        member = found.member
        entry.members[found.ending] = Content(member.offset, member.size, member.pieces)
    if members[-1].number - members[0].number != len(members) - 1:
        entry.fault = entry.fault or "its members do not stand together"
    if merged := _merged(members):
        entry.fault = (
            entry.fault or f"a name with dots may be of a sample of its own: {merged}; rename it without"
        )
    return entry


def _fault(found: _Found, entry: Entry) -> str | None:
    member = found.member
    if member.kind in (LINK, SYMLINK):
        return f"a member is no plain file: a link to {member.target}, which is not in the shard"
    if member.kind == OTHER:
        return "a member is no plain file"
    if not found.ending:
        return "a member's name has no ending"
    if member.size > MOST_BYTES:
        return f"a member is larger than {MOST_BYTES >> 20} MiB"
    if found.ending in entry.members:
        return f"two members have one name: {found.name}"
    return None


def _merged(members: list[_Found]) -> str | None:
    """The name of a member that has, with another, all that a sample has, and more before its ending than theirs."""
    words: set[str] = set()
    images: dict[str, str] = {}
    for found in members:
        more, dot, _ = found.ending.partition(".")
        if dot and found.ending.rpartition(".")[2] in WORDS:
            words.add(more)
        elif dot and has_image_extension(found.ending):
            images.setdefault(more, found.name)
    return next((name for more, name in images.items() if more in words), None)
