"""The folder has the official scorer's layout; drawing resumes wherever it was killed, and never mixes images."""

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
from evals.drawn_folder import ImageRequest, image_seed
from evals.geneval.folder import GenEvalFolder, image_stem, read_folder
from evals.geneval.metadata import Prompt, parse_prompt
from models.generation import SamplingConfig
from tests.evals.painter import RECORD as DRAWN
from tests.evals.painter import Painter
from tests.evals.torchrun import contents

RECORD = DRAWN | {"samples": 3}


def prompts_of(*classes: str) -> list[Prompt]:
    wants = [
        {"tag": "single_object", "include": [{"class": c, "count": 1}], "prompt": f"a {c}"} for c in classes
    ]
    return [parse_prompt(one, "here") for one in wants]


PROMPTS = prompts_of("cow", "cat", "pizza")


def folder_of(
    path: Path, prompts: list[Prompt] = PROMPTS, samples: int = 3, record: dict[str, Any] = RECORD
) -> GenEvalFolder:
    requests = [
        ImageRequest(f"{image_stem(i, j)}.png", image_seed(2, i * samples + j), prompt.text)
        for i, prompt in enumerate(prompts)
        for j in range(samples)
    ]
    return GenEvalFolder(path, requests, requests, record, prompts, samples)


def draw(path: Path, painter: Painter, batch: int = 2, record: dict[str, Any] = RECORD) -> int:
    folder = folder_of(path, samples=record["samples"], record=record)
    folder.check()
    return folder.fill(painter.draw, batch)


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
    assert draw(tmp_path / "new", Painter()) == 9
    wanted = [(f"{i:05d}", json.loads(PROMPTS[i].line), f"{j:04d}.png") for i in range(3) for j in range(3)]
    assert as_the_official_scorer_reads(tmp_path / "new") == wanted
    with Image.open(tmp_path / "new/00002/samples/0001.png") as image:
        assert image.size == (16, 16) and image.mode == "RGB"
    assert json.loads((tmp_path / "new/drawn.json").read_text()) == RECORD


def test_an_image_is_what_was_drawn_and_each_has_its_own_seed(tmp_path: Path) -> None:
    painter = Painter()
    draw(tmp_path, painter)
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
    draw(whole, Painter(), batch)
    first, second = Painter(after), Painter()
    with pytest.raises(KeyboardInterrupt):
        draw(cut, first, batch)
    draw(cut, second, batch)
    assert contents(cut) == contents(whole)
    assert sorted(first.seeds + second.seeds) == [2_000_006 + i for i in range(9)]
    third = Painter()
    assert draw(cut, third, batch) == 0 and third.seeds == []


def test_killed_by_the_system_between_any_two_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies at its n-th renaming of a file, before it or after it."""
    draw(tmp_path / "whole", Painter())
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
                draw(cut, Painter())
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
            pictures = [path.name for path in cut.rglob("*") if re.match(r"\d+\.png", path.name)]
            assert all(
                re.fullmatch(r"\d+\.png", name) for name in pictures
            )  # that scorer only looks at the start
            draw(cut, Painter())
            assert contents(cut) == contents(tmp_path / "whole")


@pytest.mark.parametrize("other", [{"seed": 3}, {"model": "def"}, {"cfg": 2.0}, {"samples": 2}])
def test_images_that_were_drawn_otherwise_are_not_mixed(tmp_path: Path, other: dict[str, Any]) -> None:
    draw(tmp_path, Painter())
    (name,) = other
    with pytest.raises(ValueError, match=f"{name} {RECORD[name]!r} and not {other[name]!r}.*another folder"):
        draw(tmp_path, Painter(), record=RECORD | other)


def test_a_folder_of_other_prompts_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    draw(tmp_path, Painter())
    with pytest.raises(ValueError, match="of another prompt than 'a cat'"):
        folder_of(tmp_path, prompts_of("cat", "cow", "pizza")).check()
    with pytest.raises(ValueError, match="00002 is of no prompt"):
        folder_of(tmp_path, PROMPTS[:2]).check()


def test_images_without_a_record_are_not_mixed(tmp_path: Path) -> None:
    draw(tmp_path, Painter())
    (tmp_path / "drawn.json").unlink()
    with pytest.raises(ValueError, match="leave out --model"):
        draw(tmp_path, Painter())


def test_missing_and_extra_images(tmp_path: Path) -> None:
    draw(tmp_path, Painter())
    assert len(folder_of(tmp_path).files()) == 9
    for name in ("00001/samples/0002.png", "00002/samples/0000.png"):
        (tmp_path / name).unlink()
    with pytest.raises(
        FileNotFoundError, match=r"lacks 2 of 9 images, the first is 00001/samples/0002: .* --seeds"
    ):
        folder_of(tmp_path, record={}).check()
    draw(tmp_path, Painter())
    with pytest.raises(ValueError, match=r"0002.png is one image too many: --seeds is 2"):
        folder_of(tmp_path, samples=2).existing()
    with pytest.raises(ValueError, match=r"00002 is of no prompt: there are 2"):
        folder_of(tmp_path, PROMPTS[:2]).existing()
    with pytest.raises(ValueError, match="00000.* of another prompt than 'a cat'"):
        folder_of(tmp_path, prompts_of("cat", "cow", "pizza")).existing()
    (tmp_path / "00001/samples/star.png").write_bytes(b"")
    with pytest.raises(ValueError, match="star.png is no image of GenEval's"):
        folder_of(tmp_path).existing()
    with pytest.raises(FileNotFoundError, match="no folder of images"):
        folder_of(tmp_path / "none").existing()


def test_images_by_other_programs_may_be_numbered_with_more_digits(tmp_path: Path) -> None:
    for i in range(2):
        (tmp_path / f"{i:05d}/samples").mkdir(parents=True)
        for name in ("00000.png", "00001.png"):
            (tmp_path / f"{i:05d}/samples" / name).write_bytes(b"x")
    folder = folder_of(tmp_path, PROMPTS[:2], 2)
    assert list(folder.existing()) == [request.stem for request in folder.wanted]
    assert folder.files()["00001/samples/0001.png"].name == "00001/samples/00001.png"
    (tmp_path / "00001/samples/0001.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="one image too many"):
        folder.existing()


def test_the_prompts_of_a_folder_are_read_from_it(tmp_path: Path) -> None:
    draw(tmp_path, Painter())
    assert read_folder(tmp_path) == PROMPTS
    (tmp_path / "00002/metadata.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match="00002/metadata.jsonl is not there: give --prompts"):
        read_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder 00000"):
        read_folder(tmp_path / "00000")
    (tmp_path / "00001").rename(tmp_path / "00003")
    with pytest.raises(FileNotFoundError, match="no folder 00001"):
        read_folder(tmp_path)
