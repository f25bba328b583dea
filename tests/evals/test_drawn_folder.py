"""A folder of images: its contents, its record, and resuming wherever drawing was killed, series by series."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from common.images import encode_image
from evals.drawn_folder import DrawnFolder, ImageRequest
from evals.ranks import ALONE, Ranks
from judges.pixels import image_to_tensor
from models.image_input import to_pil
from tests.evals.painter import RECORD, Painter
from tests.evals.torchrun import contents, in_processes

REQUESTS = [
    ImageRequest(f"{name}/{i}.png", 10 * at + i, f"{name} {i}", name, i)
    for at, name in enumerate("abc")
    for i in range(3)
]


def folder_at(path: Path, wanted: list[ImageRequest] = REQUESTS) -> DrawnFolder:
    return DrawnFolder(path, REQUESTS, wanted, RECORD)


def fill(path: Path, painter: Painter, wanted: list[ImageRequest] = REQUESTS, ranks: Ranks = ALONE) -> int:
    folder = folder_at(path, wanted)
    folder.check()
    return folder.fill(painter.draw, 2, ranks)


def test_turns_are_drawn_one_after_another(tmp_path: Path) -> None:
    painter, turns = Painter(), []

    def recorded(requests: Sequence[ImageRequest]) -> torch.Tensor:
        turns.append({request.turn for request in requests})
        return painter.draw(requests)

    assert folder_at(tmp_path).fill(recorded, 2) == 9
    assert painter.seeds == [0, 10, 20, 1, 11, 21, 2, 12, 22]
    assert all(len(one) == 1 for one in turns)  # a batch never starts from itself
    assert list(folder_at(tmp_path).files()) == [request.path for request in REQUESTS]


@pytest.mark.parametrize("after", [0, 1, 4, 8])
def test_it_resumes_without_drawing_an_image_twice(tmp_path: Path, after: int) -> None:
    fill(tmp_path / "whole", Painter())
    first, second, third = Painter(after), Painter(), Painter()
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "cut", first)
    fill(tmp_path / "cut", second)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert sorted(first.seeds + second.seeds) == sorted(request.seed for request in REQUESTS)
    assert fill(tmp_path / "cut", third) == 0 and third.seeds == []


def test_only_what_is_wanted_is_drawn(tmp_path: Path) -> None:
    painter = Painter()
    fill(tmp_path, painter, REQUESTS[:2])
    assert painter.seeds == [0, 1]
    assert fill(tmp_path, painter) == 7


def test_a_series_is_drawn_by_one_process(tmp_path: Path) -> None:
    fill(tmp_path / "alone", Painter())
    (tmp_path / "notes").mkdir()

    def work(painter: Painter, ranks: Ranks) -> None:
        fill(tmp_path / "shared", painter, REQUESTS, ranks)
        assert contents(tmp_path / "shared") == contents(tmp_path / "alone")  # the other's are there too

    first, second = in_processes(2, work, tmp_path / "notes")
    assert (first, second) == ([0, 20, 1, 21, 2, 22], [10, 11, 12])


def test_missing_and_unexpected_images(tmp_path: Path) -> None:
    scored = DrawnFolder(tmp_path, REQUESTS, REQUESTS, {})
    with pytest.raises(FileNotFoundError, match="lacks 9 of 9 images"):
        scored.check()
    fill(tmp_path, Painter())
    scored.check()
    (tmp_path / "b/1.png").rename(tmp_path / "b/1.jpg")  # another program's kind
    assert scored.files()["b/1.png"].name == "b/1.jpg"
    (tmp_path / "b/1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1.png is there twice, .*1.jpg too: take one away"):
        scored.check()
    (tmp_path / "b/1.png").rename(tmp_path / "b/9.png")
    with pytest.raises(ValueError, match=r"9.png is one image too many: nothing here asks for it .*a/0.png"):
        scored.check()
    (tmp_path / "b/9.png").unlink()
    (tmp_path / "b/1.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks 1 of 9 images, the first is b/1: draw them with"):
        scored.check()


def test_a_jpeg_is_almost_lossless(tmp_path: Path) -> None:
    image = torch.zeros(3, 16, 16, dtype=torch.uint8)
    image[0, :8], image[2, :, 8:] = 255, 200  # edges of pure colour, where chroma at half size would bleed
    (tmp_path / "x.jpeg").write_bytes(encode_image(to_pil(image), "x.jpeg"))
    with Image.open(tmp_path / "x.jpeg") as picture:
        assert picture.format == "JPEG"
        back = image_to_tensor(picture)
    assert (back.int() - image.int()).abs().max() <= 3


def test_images_of_another_record_are_not_mixed(tmp_path: Path) -> None:
    fill(tmp_path, Painter())
    with pytest.raises(ValueError, match="drawn with model 'abc' and not 'n': name another folder"):
        DrawnFolder(tmp_path, REQUESTS, REQUESTS, RECORD | {"model": "n"}).check()
    (tmp_path / "drawn.json").unlink()
    with pytest.raises(ValueError, match="leave out --model"):
        folder_at(tmp_path).check()
