"""The files of a source: walked through links, with hidden ones left out, and those of held-out splits."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from common.images import has_image_extension
from datamodules.published_formats.listing import Options, Rejected

# As a hub's files, folders and rows name them; "restval" is Karpathy's, and COCO captions are trained on it.
SPLITS = {
    **dict.fromkeys(("train", "training", "restval"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev", "eval", "evaluation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# testmini, testA, minival, test-dev
_NAME = rf"(?:mini)?({'|'.join(SPLITS)})(?:mini|dev|std|seen|unseen|[ab])?"
IN_NAME = re.compile(rf"(?:^|[-_.]){_NAME}(?:$|[-_.\d])", re.IGNORECASE)
# train2017; the hub's own conversions are "partial"
FOLDER = re.compile(rf"(?:partial-)?{_NAME}\d*", re.IGNORECASE)
ALL = "all"


def walk(root: Path, rejected: list[Rejected], out: Path | None = None) -> list[Path]:
    """The files below a folder, relative to it and sorted; links are followed, but not in circles.

    Args:
        root: a folder.
        rejected: takes what was left out.
        out: a folder that is left out and not counted, as it holds what is being made.
    """
    skip = None if out is None else os.path.realpath(out)

    def files(at: PurePath, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
        folder = root / at
        stat = folder.stat()
        inode = (stat.st_dev, stat.st_ino)
        if inode in above:
            rejected.append(Rejected(str(at), "a linked folder leads back to one that holds it"))
            return
        for name in sorted(os.listdir(folder)):
            path = at / name
            if name.startswith("."):
                if not name.endswith(".lock"):
                    rejected.append(Rejected(str(path), "a hidden file or folder is left out"))
            elif not (folder / name).is_dir():
                yield Path(path)
            elif os.path.realpath(folder / name) != skip:
                yield from files(path, (*above, inode))

    return list(files(PurePath(), ()))


def split_of(path: PurePath) -> str | None:
    """The split by a file's name or a folder above it; None where none names one. An image's own name does not count."""
    if not has_image_extension(path.name) and (found := IN_NAME.search(path.name)):
        return SPLITS[found[1].lower()]
    return next((split for folder in reversed(path.parent.parts) if (split := named_split(folder))), None)


def named_split(name: str) -> str | None:
    """The split that a name stands for; None where it is another's."""
    found = FOLDER.fullmatch(name)
    return SPLITS[found[1].lower()] if found else None


def check_split(options: Options) -> str:
    """The split that was asked for, by its usual name; raises ValueError if there is no such split."""
    asked = (options.split or "train").lower()
    if asked != ALL and asked not in SPLITS:
        raise ValueError(f"--split {options.split}: there is train, validation, test and all")
    return SPLITS.get(asked, asked)


def of_split(paths: Sequence[Path], options: Options, rejected: list[Rejected]) -> list[Path]:
    """The files of the split that was asked for, and by default those of no split at all too.

    Raises:
        ValueError: there are only others.
    """
    asked, splits = check_split(options), {path: split_of(path) for path in paths}
    if asked == ALL:
        return list(paths)
    mine = (asked,) if options.split else (asked, None)
    chosen = [path for path in paths if splits[path] in mine]
    others = sorted({split for split in splits.values() if split is not None and split not in mine})
    if paths and not chosen:
        there = f"its splits are {' and '.join(others)}" if others else "its files name no split"
        raise ValueError(f"{options.source} has no split {asked}: {there}; choose one with --split, or all")
    rejected += [Rejected(str(path), left_out(split)) for path, split in splits.items() if split not in mine]
    return chosen


def left_out(split: str | None) -> str:
    """Why something of another split is in no shard."""
    return f"the split {split} is left out (--split {split} takes it)" if split else "of no split, left out"
