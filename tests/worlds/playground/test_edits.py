"""Edits change what is asked and nothing else; stories tell what they show."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from worlds.playground.captions import cell_name
from worlds.playground.combinations import is_held_out
from worlds.playground.edits import EDIT_KINDS, Edit, sample_edit
from worlds.playground.render import object_mask, render
from worlds.playground.scene import SHAPES, SceneObject


@pytest.fixture(scope="module")
def edits() -> list[Edit]:
    rng = np.random.default_rng(0)
    return [sample_edit(rng) for _ in range(600)]


def _difference(edit: Edit) -> tuple[list[SceneObject], list[SceneObject]]:
    before, after = set(edit.before.objects), set(edit.after.objects)
    return sorted(before - after), sorted(after - before)


def test_edits_change_only_what_is_asked(edits: list[Edit]) -> None:
    for edit in edits:
        gone, new = _difference(edit)
        words = edit.instruction.split()
        assert edit.before.texture_seed == edit.after.texture_seed
        assert (len(gone), len(new)) == {"add": (0, 1), "remove": (1, 0)}.get(edit.kind, (1, 1))
        if edit.kind == "recolour":
            assert new[0].colour == words[-1] != gone[0].colour
            assert new[0] == replace(gone[0], colour=new[0].colour)
        elif edit.kind == "reshape":
            assert new[0].shape == words[-1] != gone[0].shape
            assert new[0] == replace(gone[0], shape=new[0].shape)
        elif edit.kind == "add":
            assert f"{new[0].colour} {new[0].shape}" in edit.instruction
            assert edit.instruction.endswith(cell_name(new[0]))


def test_instructions_single_out_one_object(edits: list[Edit]) -> None:
    for edit in edits:
        if edit.kind != "add":
            words = edit.instruction.split()
            at = next(i for i, word in enumerate(words) if word in SHAPES)
            alike = [o for o in edit.before.objects if o.shape == words[at]]
            assert [o for o in alike if words[at - 1] in ("the", o.colour)] == _difference(edit)[0]


def test_pixels_change_only_under_the_edited_object(edits: list[Edit]) -> None:
    for edit in edits[:60]:
        changed = (render(edit.before) != render(edit.after)).any(axis=2)
        gone, new = _difference(edit)
        allowed = sum(object_mask(item) for item in gone + new) > 0
        assert changed.any() and not (changed & ~allowed).any()


def test_all_kinds_are_common(edits: list[Edit]) -> None:
    kinds = Counter(edit.kind for edit in edits)
    assert set(kinds) == set(EDIT_KINDS) and min(kinds.values()) > 60


def test_held_out_edits_end_in_held_out_scenes() -> None:
    rng = np.random.default_rng(1)
    assert all(is_held_out(sample_edit(rng, held_out=True).after) for _ in range(50))
