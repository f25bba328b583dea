"""The folder has the official scorer's layout; drawing goes on wherever it was killed, and mixes with nobody's images."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common import files
from evals.geneval import images
from evals.geneval.images import Place
from evals.geneval.metadata import Prompt, prompt_of
from models.generation import SamplingConfig
from tests.evals.geneval.painter import Painter

RECORD = {"model": "abc", "seed": 2, "samples": 3, "cfg": 1.25, "temperature": 0.6, "top_k": 0, "top_p": 1.0}


def prompts_of(*classes: str) -> list[Prompt]:
    wants = [
        {"tag": "single_object", "include": [{"class": c, "count": 1}], "prompt": f"a {c}"} for c in classes
    ]
    return [prompt_of(one, "here") for one in wants]


PROMPTS = prompts_of("cow", "cat", "pizza")


def drawn(folder: Path, painter: Painter, batch: int = 2, record: dict[str, Any] = RECORD) -> list[str]:
    images.check_record(folder, record, PROMPTS, record["samples"])
    return [order.path for order in images.draw_missing(painter, folder, PROMPTS, record, batch)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def as_the_official_scorer_reads(folder: Path) -> list[tuple[str, dict[str, Any], str]]:
    """Every (folder, metadata, image) as that scorer's loops come upon them."""
    found = []
    for name in os.listdir(folder):
        if (folder / name).is_dir() and name.isdigit():
            metadata = json.loads((folder / name / "metadata.jsonl").read_text())
            for image in os.listdir(folder / name / "samples"):
                if re.match(r"\d+\.png", image):
                    found.append((name, metadata, image))
    return sorted(found, key=str)


def test_the_layout_is_the_official_scorers(tmp_path: Path) -> None:
    assert drawn(tmp_path / "new", Painter()) == [str(Place(i, j)) for i in range(3) for j in range(3)]
    wanted = [(f"{i:05d}", json.loads(PROMPTS[i].line), f"{j:04d}.png") for i in range(3) for j in range(3)]
    assert as_the_official_scorer_reads(tmp_path / "new") == wanted
    with Image.open(tmp_path / "new/00002/samples/0001.png") as image:
        assert image.size == (16, 16) and image.mode == "RGB"
    assert json.loads((tmp_path / "new/drawn.json").read_text()) == RECORD


def test_an_image_is_what_was_drawn_and_each_has_its_own_seed(tmp_path: Path) -> None:
    painter = Painter()
    drawn(tmp_path, painter)
    assert painter.seeds == [2_000_006 + i for i in range(9)]
    again = Painter().draw_batch(["a cat"], [2_000_006 + 4], SamplingConfig(cfg=1.25))[0]
    with Image.open(tmp_path / "00001/samples/0001.png") as image:
        assert np.array_equal(np.array(image), again.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("after", [0, 1, 4, 8])
def test_killed_while_drawing_it_goes_on_without_drawing_twice(
    tmp_path: Path, after: int, batch: int
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    drawn(whole, Painter(), batch)
    first, second = Painter(after), Painter()
    with pytest.raises(KeyboardInterrupt):
        drawn(cut, first, batch)
    drawn(cut, second, batch)
    assert contents(cut) == contents(whole)
    assert sorted(first.seeds + second.seeds) == [2_000_006 + i for i in range(9)]
    third = Painter()
    assert drawn(cut, third, batch) == [] and third.seeds == []


def test_killed_by_the_system_between_any_two_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies at its n-th renaming of a file, before it or after it."""
    drawn(tmp_path / "whole", Painter())
    replace = os.replace
    for at in range(0, 13, 3):
        for before in (True, False):
            left = [at]

            def dies(source: Path, target: Path, left: list[int] = left, before: bool = before) -> None:
                left[0] -= 1
                if left[0] >= 0 or not before:
                    replace(source, target)
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            cut = tmp_path / f"cut{at}{before}"
            child = os.fork()
            if child == 0:
                files.os.replace = dies
                drawn(cut, Painter())
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
            pictures = [path.name for path in cut.rglob("*") if re.match(r"\d+\.png", path.name)]
            assert all(
                re.fullmatch(r"\d+\.png", name) for name in pictures
            )  # that scorer only looks at the start
            drawn(cut, Painter())
            assert contents(cut) == contents(tmp_path / "whole")


@pytest.mark.parametrize("other", [{"seed": 3}, {"model": "def"}, {"cfg": 2.0}, {"samples": 2}])
def test_images_that_were_drawn_otherwise_are_not_mixed(tmp_path: Path, other: dict[str, Any]) -> None:
    drawn(tmp_path, Painter())
    (name,) = other
    with pytest.raises(ValueError, match=f"{name} {RECORD[name]!r} and not {other[name]!r}.*another folder"):
        drawn(tmp_path, Painter(), record=RECORD | other)


def test_a_folder_of_other_prompts_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    drawn(tmp_path, Painter())
    with pytest.raises(ValueError, match="of another prompt than 'a cat'"):
        images.check_record(tmp_path, RECORD, prompts_of("cat", "cow", "pizza"), 3)
    with pytest.raises(ValueError, match="00002 is of no prompt"):
        images.check_record(tmp_path, RECORD, PROMPTS[:2], 3)


def test_images_of_nobody_knows_whom_are_not_mixed(tmp_path: Path) -> None:
    drawn(tmp_path, Painter())
    (tmp_path / "drawn.json").unlink()
    with pytest.raises(ValueError, match="leave out --model"):
        drawn(tmp_path, Painter())
    (tmp_path / "drawn.json").write_text("{")
    with pytest.raises(ValueError, match=r"drawn.json is no JSON"):
        drawn(tmp_path, Painter())


def test_missing_and_extra_images(tmp_path: Path) -> None:
    drawn(tmp_path, Painter())
    found = images.existing(tmp_path, PROMPTS, 3)
    images.check_whole(tmp_path, found, PROMPTS, 3)
    del found[Place(1, 2)], found[Place(2, 0)]
    with pytest.raises(FileNotFoundError, match=r"lacks 2 of 9 images, the first is 00001/samples/0002.png"):
        images.check_whole(tmp_path, found, PROMPTS, 3)
    with pytest.raises(ValueError, match=r"0002.png is one image too many: --seeds says 2"):
        images.existing(tmp_path, PROMPTS, 2)
    with pytest.raises(ValueError, match=r"00002 is of no prompt: there are 2"):
        images.existing(tmp_path, PROMPTS[:2], 3)
    with pytest.raises(ValueError, match="00000.* of another prompt than 'a cat'"):
        images.existing(tmp_path, prompts_of("cat", "cow", "pizza"), 3)
    (tmp_path / "00001/samples/star.png").write_bytes(b"")
    with pytest.raises(ValueError, match="star.png is no image of GenEval's"):
        images.existing(tmp_path, PROMPTS, 3)
    with pytest.raises(FileNotFoundError, match="no folder of images"):
        images.existing(tmp_path / "none", PROMPTS, 3)


def test_images_by_other_programs_may_be_numbered_otherwise(tmp_path: Path) -> None:
    for i in range(2):
        (tmp_path / f"{i:05d}/samples").mkdir(parents=True)
        for name in ("00000.png", "00001.png"):
            (tmp_path / f"{i:05d}/samples" / name).write_bytes(b"x")
    found = images.existing(tmp_path, PROMPTS[:2], 2)
    assert [place for place in found] == images.wanted(PROMPTS[:2], 2)
    (tmp_path / "00001/samples/0001.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="one image too many"):
        images.existing(tmp_path, PROMPTS[:2], 2)


def test_the_prompts_of_a_folder_are_read_from_it(tmp_path: Path) -> None:
    drawn(tmp_path, Painter())
    assert images.read_folder(tmp_path) == PROMPTS
    (tmp_path / "00002/metadata.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match="00002/metadata.jsonl is not there: give --prompts"):
        images.read_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder 00000"):
        images.read_folder(tmp_path / "00000")
    (tmp_path / "00001").rename(tmp_path / "00003")
    with pytest.raises(FileNotFoundError, match="no folder 00001"):
        images.read_folder(tmp_path)
