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
from evals.image_sets import Picture, by_stem, check_whole, told_pictures
from evals.round_robin import in_turn

CATEGORIES = (
    "animals",
    "art",
    "fashion",
    "food",
    "indoor",
    "landscape",
    "logo",
    "people",
    "plants",
    "vehicles",
)
ID = re.compile(r"\w[\w-]*")  # it becomes a file's name
IMAGES = "mjhq30k_imgs"


@dataclass(frozen=True)
class Item:
    """A prompt: where it stands among all, and the place of its images."""

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

    Raises:
        FileNotFoundError: it has no meta_data.json.
        ValueError: that is something else, or names a category that there is not.
    """
    path = folder / "meta_data.json"
    said = read_object(path, required=f"--real is the folder of MJHQ-30K, with meta_data.json and {IMAGES}")
    return [_item(path, index, name, one) for index, (name, one) in enumerate(said.items())]


def _item(path: Path, index: int, name: str, said: Any) -> Item:
    where = f"{path}: {name[:60]!r}"
    if not ID.fullmatch(name):
        raise ValueError(f"{where} is no id: it is letters, digits, _ and - alone")
    if not isinstance(said, dict):
        raise ValueError(f"{where} must be an object with category and prompt")
    prompt = check_text(said.get("prompt"), f"{where}: prompt")
    return Item(index, name, check_choice(said.get("category"), CATEGORIES, f"{where}: category"), prompt)


def chosen(items: Sequence[Item], most: int | None) -> list[Item]:
    """The first of each category in turn, at most so many, in the order of the file."""
    return [items[place] for place in in_turn([item.category for item in items], most)]


def by_category(items: Sequence[Item]) -> Mapping[str, list[int]]:
    """Which of the items are of each category, of those that there are."""
    groups: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        groups.setdefault(item.category, []).append(place)
    return dict(sorted(groups.items()))


def real_pictures(folder: Path, items: Sequence[Item], wanted: Sequence[Item]) -> list[Picture]:
    """The real images of the wanted items, from the folder or the archive.

    Raises:
        FileNotFoundError: some are missing.
        ValueError: some are of no prompt.
    """
    place = folder / IMAGES
    if not place.is_dir():
        place = folder / f"{IMAGES}.zip"
    found = [replace(p, name=p.name.removeprefix(f"{IMAGES}/")) for p in told_pictures(place)]
    known = by_stem(found, {item.stem for item in items}, "meta_data.json has no such id in that category")
    return check_whole(known, [item.stem for item in wanted], place, "get them again")
