"""MJHQ-30K's published layout, as a folder and as its archive; and what is wrong in it is said before work."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from evals.fidelity.mjhq import CATEGORIES, by_category, read_items, real_images, select
from tests.evals.fidelity.small_network import paint, write_mjhq

GOOD = {"category": "food", "prompt": "a cake"}


def written(folder: Path, said: Any) -> Path:
    (folder / "meta_data.json").write_text(said if isinstance(said, str) else json.dumps(said))
    return folder


def test_prompts_and_images_are_read_from_either_layout(tmp_path: Path) -> None:
    folder = write_mjhq(tmp_path / "m", CATEGORIES, 2)
    items = read_items(folder)
    assert len(items) == 20 and items[3].prompt == "food number 0" and items[3].category == "food"
    plain = [picture.read() for picture in real_images(folder, items, items)]
    for inside in ("", "mjhq30k_imgs/"):
        archive = write_mjhq(tmp_path / f"z{inside[:1]}", CATEGORIES, 2, images=False)
        with zipfile.ZipFile(archive / "mjhq30k_imgs.zip", "w") as file:
            for item in items:
                file.write(folder / f"mjhq30k_imgs/{item.stem}.jpg", f"{inside}{item.stem}.jpg")
        assert [picture.read() for picture in real_images(archive, items, items)] == plain


def test_a_few_are_of_all_categories(tmp_path: Path) -> None:
    said = {f"{name}{i}": {"category": name, "prompt": "x"} for name in CATEGORIES for i in range(5)}
    items = read_items(written(tmp_path, said))  # one category after the other
    few = select(items, 23)
    assert {name: len(rows) for name, rows in by_category(few).items()} == {
        name: 3 if name in ("animals", "art", "fashion") else 2 for name in CATEGORIES
    }
    assert [item.index for item in few] == sorted(item.index for item in few) and select(items, None) == items
    assert set(select(items, 7)) < set(few)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("{", "not valid JSON"),
        ([GOOD], "must hold a JSON object, not a list"),
        ({}, "must hold a JSON object that is not empty"),
        (
            {"a": GOOD, "b": {**GOOD, "category": "fod"}},
            "'b': category 'fod' is not known: did you mean food",
        ),
        ({"a": {**GOOD, "category": 3}}, "'a': category 3 is not known: there is animals, art"),
        ({"a": {**GOOD, "prompt": " "}}, "'a': prompt is empty"),
        ({"a": {"category": "food"}}, "'a': prompt must be text, not None"),
        ({"a": "a cake"}, "'a' must be an object"),
        ({"../../a": GOOD}, "'../../a' is no id"),
        ({"a.b": GOOD}, "'a.b' is no id"),
    ],
)
def test_prompts_that_are_none(tmp_path: Path, said: Any, says: str) -> None:
    with pytest.raises(ValueError, match="meta_data.json") as error:
        read_items(written(tmp_path, said))
    assert says in str(error.value) and "\n" not in str(error.value)


def test_missing_and_extra_real_images(tmp_path: Path) -> None:
    folder = write_mjhq(tmp_path / "m", ("art", "food"), 3)
    items = read_items(folder)
    (folder / f"mjhq30k_imgs/{items[2].stem}.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=f"lacks 1 of 6 images, the first is {items[2].stem}"):
        real_images(folder, items, items)
    assert len(real_images(folder, items, items[:2])) == 2
    paint(folder / "mjhq30k_imgs", [f"people/{items[0].id}.jpg"], 0)
    with pytest.raises(ValueError, match="people/.*one image too many: meta_data.json has no such id"):
        real_images(folder, items, items[:2])
    with pytest.raises(FileNotFoundError, match=r"there is no .*mjhq30k_imgs.zip"):
        real_images(write_mjhq(tmp_path / "n", ("art",), 1, images=False), items, items)
    with pytest.raises(FileNotFoundError, match="meta_data.json and mjhq30k_imgs"):
        read_items(tmp_path)
