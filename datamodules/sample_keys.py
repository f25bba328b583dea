"""Which members of a shard belong to one sample: those whose names are equal up to a dot.

WebDataset cuts at the first dot of a file's name: `a.jpg` and `a.dense.txt` are one sample, `a`. Of names that have dots
of their own (`shop 2.0 final.jpg`) that would make one sample of many. So where none of a sample's members has an ending
without a dot, which no template could use, its names are cut at the next dot, and so on.
"""

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from common.images import has_image_extension
from common.tar_members import FOLDER, LABEL, LINK, OTHER, PLAIN, SYMLINK, Member

MAX_MEMBER_BYTES = 256 * 2**20  # of one member: larger ones are no sample of ours
TEXT_ENDINGS = ("txt", "json")
# What macOS, Windows and file managers leave in folders.
LEFTOVERS = {".ds_store", "thumbs.db", "desktop.ini", ".directory"}
LEFTOVER_FOLDER = "__MACOSX"
MAX_HOPS = 40  # of links that lead to links


@dataclass
class Entry:
    """The members of one sample by ending; `fault` is why it is not to be read."""

    key: str
    members: dict[str, Member] = field(default_factory=dict)
    fault: str | None = None


@dataclass
class Grouped:
    """Samples in the order of their first members; `dotted` of them have dots in their keys, `ignored` were leftovers."""

    entries: list[Entry]
    dotted: list[str]
    ignored: list[str]


@dataclass
class _Part:
    """A member of a sample: its number in the shard, its name, what follows the dot, and why it cannot be read."""

    number: int
    name: str
    ending: str
    member: Member
    fault: str | None = None


def group_members(members: Iterable[Member]) -> Grouped:
    """Samples out of a shard's members."""
    by_key: dict[str, list[_Part]] = {}
    ignored: list[str] = []
    number = 0
    for member in members:
        if member.kind in (FOLDER, LABEL):
            continue
        if _is_leftover(member.name):
            ignored.append(member.name)
            continue
        key, part = _split_name(number, member)
        by_key.setdefault(key, []).append(part)
        number += 1
    _follow_links([part for group in by_key.values() for part in group])
    groups = [(whole, key, parts) for key, group in by_key.items() for whole, parts in _at_dots(key, group)]
    groups.sort(key=lambda group: group[2][0].number)
    entries = [_entry(whole, parts) for whole, _, parts in groups]
    return Grouped(entries, [whole for whole, key, _ in groups if whole != key], ignored)


def _is_leftover(name: str) -> bool:
    base = posixpath.basename(name)
    return base.startswith("._") or base.lower() in LEFTOVERS or LEFTOVER_FOLDER in name.split("/")


def _split_name(number: int, member: Member) -> tuple[str, _Part]:
    """A member, and its name up to the first dot."""
    if member.name.startswith("/") or ".." in member.name.split("/"):
        fault = "a member's name leads out of the shard"
        return member.name, _Part(number, member.name, "", member, fault)
    name = posixpath.normpath(member.name)  # tar -C folder . writes ./a.jpg
    folder, base = posixpath.split(name)
    stem, _, ending = base.partition(".")
    if stem and ending:
        return posixpath.join(folder, stem), _Part(number, name, ending, member)
    fault = "a member's name has no ending" if stem else "a member's name begins with a dot"
    return name, _Part(number, name, "", member, fault)


def _follow_links(parts: Sequence[_Part]) -> None:
    """Replaces links by what they lead to, where it is in the same shard."""
    links = [part for part in parts if part.member.kind in (LINK, SYMLINK)]
    named = {part.name: part.member for part in parts} if links else {}
    for part in links:
        member: Member | None = part.member
        name = part.name
        for _ in range(MAX_HOPS):
            if member is None or member.kind not in (LINK, SYMLINK):
                break
            folder = posixpath.dirname(name) if member.kind == SYMLINK else ""
            name = posixpath.normpath(posixpath.join(folder, member.target))
            member = named.get(name)
        if member is not None and member.kind == PLAIN:
            part.member = member


def _at_dots(key: str, parts: list[_Part]) -> list[tuple[str, list[_Part]]]:
    """The samples of members whose names are equal up to a dot, by their keys."""
    whole, waiting = [], [(key, parts)]
    while waiting:
        key, parts = waiting.pop()
        if any("." not in part.ending for part in parts):
            whole.append((key, parts))
            continue
        deeper: dict[str, list[_Part]] = {}
        for part in parts:
            more, _, part.ending = part.ending.partition(".")
            deeper.setdefault(f"{key}.{more}", []).append(part)
        waiting += deeper.items()
    return whole


def _entry(key: str, parts: list[_Part]) -> Entry:
    entry = Entry(key)
    faults = []
    for part in parts:
        part.ending = part.ending.lower()
        if fault := part.fault or _fault(part, entry):
            faults.append(fault)
            continue
        entry.members[part.ending] = part.member
    if parts[-1].number - parts[0].number != len(parts) - 1:
        faults.append("its members do not stand together")
    if merged := _merged(parts):
        faults.append(f"a name with dots may be of a sample of its own: {merged}; rename it without")
    entry.fault = next(iter(faults), None)
    return entry


def _fault(part: _Part, entry: Entry) -> str | None:
    member = part.member
    if member.kind in (LINK, SYMLINK):
        return f"a member is no plain file: a link to {member.target}, which is not in the shard"
    if member.kind == OTHER:
        return "a member is no plain file"
    if not part.ending:
        return "a member's name has no ending"
    if member.size > MAX_MEMBER_BYTES:
        return f"a member is larger than {MAX_MEMBER_BYTES >> 20} MiB"
    if part.ending in entry.members:
        return f"two members have one name: {part.name}"
    return None


def _merged(parts: list[_Part]) -> str | None:
    """The name of a member that has, with another, all that a sample has, and more before its ending than theirs."""
    texts: set[str] = set()
    images: dict[str, str] = {}
    for part in parts:
        more, dot, _ = part.ending.partition(".")
        if dot and part.ending.rpartition(".")[2] in TEXT_ENDINGS:
            texts.add(more)
        elif dot and has_image_extension(part.ending):
            images.setdefault(more, part.name)
    return next((name for more, name in images.items() if more in texts), None)
