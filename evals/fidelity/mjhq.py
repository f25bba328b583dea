"""MJHQ-30K in its published layout (Playground v2.5, arXiv 2402.17245): 30,000 prompts with an image each.

    DIR/meta_data.json                   {ID: {"category": ..., "prompt": ...}}
    DIR/mjhq30k_imgs/CATEGORY/ID.jpg     or DIR/mjhq30k_imgs.zip as it is published

Drawings go to CATEGORY/ID.png of a folder of their own.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.checks import check_choice, check_text
from common.json_files import read_object
from evals.image_sets import ImageFile, by_stem, image_files, require_all
from evals.subsets import round_robin

CATEGORIES = tuple("animals art fashion food indoor landscape logo people plants vehicles".split())
ID = re.compile(r"\w[\w-]*")  # it becomes a file's name
IMAGES = "mjhq30k_imgs"


@dataclass(frozen=True)
class Item:
    """A prompt: its index among all, and what names its images."""

    index: int
    id: str
    category: str
    prompt: str

    @property
    def stem(self) -> str:
        """CATEGORY/ID."""
        return f"{self.category}/{self.id}"


def read_items(folder: Path) -> list[Item]:
    """The prompts of a folder, in the order of its file.

    Raises FileNotFoundError if it has no meta_data.json; ValueError if that is invalid, or names an unknown category.
    """
    path = folder / "meta_data.json"
    entries = read_object(
        path, required=f"--real is the folder of MJHQ-30K, with meta_data.json and {IMAGES}"
    )
    return [_item(path, index, name, one) for index, (name, one) in enumerate(entries.items())]


def _item(path: Path, index: int, name: str, entry: Any) -> Item:
    where = f"{path}: {name[:60]!r}"
    if not ID.fullmatch(name):
        raise ValueError(f"{where} is no id: it is letters, digits, _ and - alone")
    if not isinstance(entry, dict):
        raise ValueError(f"{where} must be an object with category and prompt")
    prompt = check_text(entry.get("prompt"), f"{where}: prompt")
    return Item(index, name, check_choice(entry.get("category"), CATEGORIES, f"{where}: category"), prompt)


def select(items: Sequence[Item], limit: int | None) -> list[Item]:
    """The first of each category in turn, at most `limit`, in the order of the file."""
    return [items[i] for i in round_robin([item.category for item in items], limit)]


def by_category(items: Sequence[Item]) -> Mapping[str, list[int]]:
    """The indices of the items of each category."""
    groups: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        groups.setdefault(item.category, []).append(i)
    return dict(sorted(groups.items()))


def real_images(folder: Path, items: Sequence[Item], wanted: Sequence[Item]) -> list[ImageFile]:
    """The real images of the wanted items, from the folder or the archive.

    Raises FileNotFoundError if some are missing; ValueError if some are of no prompt.
    """
    path = folder / IMAGES
    if not path.is_dir():
        path = folder / f"{IMAGES}.zip"
    found = [replace(f, name=f.name.removeprefix(f"{IMAGES}/")) for f in image_files(path, warn=True)]
    known = by_stem(found, {item.stem for item in items}, "meta_data.json has no such id in that category")
    return require_all(known, [item.stem for item in wanted], path, "get them again")
