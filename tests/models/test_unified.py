"""The examples in the docstrings of Illume's public methods, run on the shipped model."""

import doctest
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import train
from models import unified
from models.generation import SamplingConfig
from models.unified import Illume

EXAMPLES = {
    test.name: test for test in doctest.DocTestFinder().find(Illume, "Illume", unified) if test.examples
}


@pytest.fixture(scope="module")
def names() -> Iterator[dict[str, object]]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = Path(train.__file__).parent / "pretrained" / "playground"
    yield {
        "illume": Illume.from_pretrained(folder),
        "SamplingConfig": SamplingConfig,
        "Illume": Illume,
        "torch": torch,
    }
    torch.set_num_threads(before)


def test_every_way_in_has_an_example() -> None:
    assert set(EXAMPLES) >= {
        "Illume",
        *(f"Illume.{name}" for name in ("draw", "edit", "ask", "describe", "chat")),
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_gives_what_it_shows(name: str, names: dict[str, object]) -> None:
    test = EXAMPLES[name]
    test.globs = dict(names)
    results = doctest.DocTestRunner().run(test, clear_globs=False)
    assert results.attempted and not results.failed
