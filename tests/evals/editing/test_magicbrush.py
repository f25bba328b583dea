"""MagicBrush's folder is read as published, and results have the names that its own scorer reads."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evals.editing.magicbrush import read_magicbrush
from tests.evals.editing.tiny_sets import picture, png, save_magicbrush


def as_the_official_scorer_pairs(results: Path, truth: Path) -> tuple[set[Any], set[Any]]:
    """(result, right answer) of all turns and of final turns, as `load_data` of image_eval.py comes upon them."""
    every, final = set(), set()
    for session in sorted(os.listdir(truth)):
        made = [name for name in os.listdir(results / session) if ".png" in name]
        right = sorted(name for name in os.listdir(truth / session) if "output" in name)
        alone = sorted(name for name in made if "_1" in name or "inde_" in name)  # of fewer than ten turns
        alone.sort(key=lambda name: int("".join(filter(str.isdigit, name))))
        assert len(alone) == len(right)
        every |= set(zip(alone, right, strict=True))
        several = sorted((name for name in made if "iter_" in name), key=lambda n: int(n[-5])) or made
        final.add((several[-1], right[-1]))
    return every, final


def test_the_names_are_the_official_scorers(tmp_path: Path) -> None:
    data, results = save_magicbrush(tmp_path / "test"), tmp_path / "results"
    benchmark = read_magicbrush(data, results, True, None)
    for edit in benchmark.edits:
        (results / edit.name).parent.mkdir(parents=True, exist_ok=True)
        (results / edit.name).write_bytes(b"")
    every, final = as_the_official_scorer_pairs(results, data / "images")

    def pairs(name: str) -> set[Any]:
        truth = {path.read_bytes(): path.name for path in data.rglob("*.png")}
        return {(Path(one.name).name, truth[one.reference()]) for one in benchmark.comparisons[name]}

    assert pairs("magicbrush") == every and len(every) == 4
    assert pairs("magicbrush/multi_turn") == final and len(final) == 2


def test_a_turn_starts_from_the_reference_or_from_the_result(tmp_path: Path) -> None:
    data, results = save_magicbrush(tmp_path / "test"), tmp_path / "results"
    edits = {edit.name: edit for edit in read_magicbrush(data, results, True, None).edits}
    assert edits["139/139_1.png"].before() == png(picture(139))
    assert edits["139/139_inde_3.png"].before() == png(picture(141))
    (results / "139").mkdir(parents=True)
    (results / "139/139_1.png").write_bytes(b"first")
    (results / "139/139_iter_2.png").write_bytes(b"second")
    assert (
        edits["139/139_iter_2.png"].before() == b"first" and edits["139/139_iter_3.png"].before() == b"second"
    )
    assert edits["139/139_iter_3.png"].turn == 2 and edits["139/139_iter_3.png"].instruction == "add a dog"


def test_comparisons_have_captions_and_images(tmp_path: Path) -> None:
    benchmark = read_magicbrush(save_magicbrush(tmp_path), tmp_path / "r", True, None)
    one = benchmark.comparisons["magicbrush"][2]
    assert one.name == "139/139_inde_2.png" and one.cluster == "139" and one.task is None
    assert (one.before(), one.reference()) == (png(picture(140)), png(picture(141)))
    assert (one.caption_before, one.caption_after) == ("a cat a dog", "a cat a cat a dog")
    last = benchmark.comparisons["magicbrush/multi_turn"][1]
    assert last.name == "139/139_iter_3.png"
    assert (last.before(), last.reference()) == (png(picture(139)), png(picture(142)))
    assert last.caption_before == "a dog"


def test_wanted_edits(tmp_path: Path) -> None:
    data = save_magicbrush(tmp_path)
    single = read_magicbrush(data, tmp_path / "r", False, None)
    assert single.wanted == {"30/30_1.png", *(f"139/139_{turn}.png" for turn in ("1", "inde_2", "inde_3"))}
    assert single.comparisons.keys() == {"magicbrush"} and len(single.edits) == 6
    assert read_magicbrush(data, tmp_path / "r", True, 1).wanted == {"30/30_1.png"}


def change(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda sessions: sessions["139"][1].update({key: value})


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (change("instruction", ""), ValueError, "139: turn 2: instruction is empty"),
        (change("output", "other.png"), FileNotFoundError, "139: turn 2: there is no image .*139/other.png"),
        (change("input", "../30/30-input.png"), FileNotFoundError, "139: turn 2: there is no image"),
        (lambda s: s["139"].append("x"), ValueError, "139: turn 4 must be an object with input, output"),
        (lambda s: s.update({"139": []}), ValueError, "139 must be a list of turns"),
        (lambda s: s.update({"../x": s.pop("139")}), ValueError, "a session's name is letters and digits"),
        (lambda s: s.clear(), ValueError, "edit_sessions.json must hold a JSON object that is not empty"),
    ],
)
def test_invalid_sessions_are_refused(tmp_path: Path, spoil: Any, kind: type, message: str) -> None:
    data = save_magicbrush(tmp_path)
    sessions = json.loads((data / "edit_sessions.json").read_text())
    spoil(sessions)
    (data / "edit_sessions.json").write_text(json.dumps(sessions))
    with pytest.raises(kind, match=message):
        read_magicbrush(data, tmp_path / "r", False, None)


def test_missing_descriptions(tmp_path: Path) -> None:
    data = save_magicbrush(tmp_path)
    (data / "global_descriptions.json").write_text('{"30": {}}')
    with pytest.raises(
        ValueError, match=r"30: turn 1: global_descriptions.json has no description of 30-input.png"
    ):
        read_magicbrush(data, tmp_path / "r", False, None)
    (data / "global_descriptions.json").write_text("{")
    with pytest.raises(ValueError, match=r"global_descriptions.json.*: not valid JSON"):
        read_magicbrush(data, tmp_path / "r", False, None)
    (data / "global_descriptions.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"global_descriptions.json is not there: give --data"):
        read_magicbrush(data, tmp_path / "r", False, None)
