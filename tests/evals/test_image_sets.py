"""Folders and archives hold the same images; names that lead out of an archive are refused, and nothing is unpacked."""

import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evals import image_sets
from evals.image_sets import by_stem, image_files, require_all, scan
from tests.evals.fidelity.small_network import paint

NAMES = ["b/2.jpg", "a.png", "b/1.PNG", "c.webp"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = paint(tmp_path / "set", NAMES, 0)
    for litter in (".hidden.png", "__MACOSX/a.png", "b/readme.txt", "drawn.json"):
        (made / litter).parent.mkdir(exist_ok=True)
        (made / litter).write_bytes(b"x")
    return made


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return path


def tarred(folder: Path, path: Path, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        archive.add(folder, ".")
    return path


def test_a_folder_a_zip_and_a_tar_hold_the_same_images(folder: Path, tmp_path: Path) -> None:
    plain = image_files(folder)
    assert [picture.name for picture in plain] == sorted(NAMES)
    for path in (zipped(folder, tmp_path / "set.zip"), tarred(folder, tmp_path / "set.tar")):
        found = image_files(path)
        assert [(p.name, p.size, p.read()) for p in found] == [(p.name, p.size, p.read()) for p in plain]


def test_names_that_lead_out_of_an_archive_are_refused(tmp_path: Path) -> None:
    for name in ("../x.png", "/x.png", "a/../../x.png", "a\\..\\x.png"):
        with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
            archive.writestr(name, b"x")
        with pytest.raises(ValueError, match="leads out of it"):
            image_files(tmp_path / "evil.zip")
        with tarfile.open(tmp_path / "evil.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo(name))
        with pytest.raises(ValueError, match="leads out of it"):
            image_files(tmp_path / "evil.tar")


def test_paths_without_images_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError, match="there is no .*none"):
        image_files(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no images"):
        image_files(tmp_path / "empty")
    for path in (tarred(folder, tmp_path / "set.tar.gz", "w:gz"), folder / "a.png"):
        with pytest.raises(ValueError, match="no folder, no .zip and no plain .tar"):
            image_files(path)
    monkeypatch.setattr(image_sets, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match="bytes, which no picture has"):
        image_files(folder)


def test_a_damaged_member_is_refused(folder: Path, tmp_path: Path) -> None:
    path = zipped(folder, tmp_path / "set.zip")
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("a.png").header_offset + 60
    content = bytearray(path.read_bytes())
    content[place] ^= 255
    path.write_bytes(content)
    (picture,) = (p for p in image_files(path) if p.name == "a.png")
    with pytest.raises(ValueError, match="a.png cannot be read"):
        picture.read()


def test_missing_and_unexpected_images(folder: Path) -> None:
    found = image_files(folder)
    known = by_stem(found, {"a", "b/1", "b/2", "c"}, "why")
    assert [p.name for p in require_all(known, ["b/2", "a"], folder, "do")] == ["b/2.jpg", "a.png"]
    with pytest.raises(ValueError, match="c.webp is one image too many: why"):
        by_stem(found, {"a", "b/1", "b/2"}, "why")
    with pytest.raises(FileNotFoundError, match="lacks 2 of 3 images, the first is d: do this"):
        require_all(known, ["a", "d", "e"], folder, "do this")
    paint(folder, ["a.jpg"], 1)
    with pytest.raises(ValueError, match="a.png is there twice"):
        by_stem(image_files(folder), {"a", "b/1", "b/2", "c"}, "why")


def linked_set(base: Path) -> Path:
    """Two pictures of its own, three behind a link to a folder, one behind a link to a file; and a loop."""
    paint(base / "store", [f"{i}.png" for i in range(3)], 0)
    made = paint(base / "set", ["own/a.png", "own/b.png"], 1)
    (made / "linked").symlink_to(base / "store")
    (made / "one.png").symlink_to("../store/1.png")
    (made / "own/loop").symlink_to(made)
    (base / "store/back").symlink_to(made)
    return made


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    names = [picture.name for picture in image_files(linked_set(tmp_path))]
    assert names == ["linked/0.png", "linked/1.png", "linked/2.png", "one.png", "own/a.png", "own/b.png"]


def test_links_in_a_tar_are_followed(tmp_path: Path) -> None:
    made = paint(tmp_path / "set", ["a.png"], 0)
    (made / "b.png").symlink_to("a.png")
    os.link(made / "a.png", made / "c.png")
    found = image_files(tarred(made, tmp_path / "set.tar"))
    assert [picture.name for picture in found] == ["a.png", "b.png", "c.png"]
    assert len({picture.read() for picture in found}) == 1


@pytest.mark.parametrize("target", ["nowhere.png", "lost.png"])
def test_a_broken_link_is_refused(tmp_path: Path, target: str) -> None:
    made = paint(tmp_path / "set", ["a.png"], 0)
    (made / "lost.png").symlink_to(target)  # the second leads to itself
    with pytest.raises(ValueError, match="lost.png is a link to what is not there"):
        image_files(made)
    with pytest.raises(ValueError, match="lost.png (is a link to what is not|cannot be read)"):
        [picture.read() for picture in image_files(tarred(made, tmp_path / "set.tar"))]


def test_endless_links_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each folder links twice to the next: 2 ** 40 ways, none of which is a loop."""
    monkeypatch.setattr(image_sets, "MAX_LINKED_FOLDERS", 100)
    for i in range(40):
        (tmp_path / f"set/{i}").mkdir(parents=True)
        (tmp_path / f"set/{i}/x").symlink_to(tmp_path / f"set/{i + 1}")
        (tmp_path / f"set/{i}/y").symlink_to(tmp_path / f"set/{i + 1}")
    paint(tmp_path / "set/40", ["a.png"], 0)
    with pytest.raises(ValueError, match="links lead to more than 100 folders"):
        image_files(tmp_path / "set/0")


KINDS = {
    "png": "PNG",
    "PNG": "PNG",
    "jpg": "JPEG",
    "JPEG": "JPEG",
    "jfif": "JPEG",
    "jpe": "JPEG",
    "webp": "WEBP",
}
KINDS |= {
    "bmp": "BMP",
    "tif": "TIFF",
    "TIFF": "TIFF",
    "gif": "GIF",
    "avif": "AVIF",
    "jp2": "JPEG2000",
    "ppm": "PPM",
}


def test_every_image_suffix_counts_and_other_files_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for i, (ending, kind) in enumerate(KINDS.items()):
        Image.new("RGB", (20, 20), (10 * i, 0, 200)).save(tmp_path / f"{i:02d}.{ending}", kind)
    for name in ("notes.txt", "more.TXT", "scores.json", "README", ".DS_Store"):
        (tmp_path / name).write_text("x")
    found = image_files(tmp_path, warn=True)
    assert len(found) == len(KINDS)
    assert [file.square(8).shape for file in found] == [(3, 8, 8)] * len(KINDS)
    message = (
        "holds 14 images and 4 files that are no images (2 .txt, 1 .json, 1 no ending); those are left out"
    )
    assert message in caplog.text and scan(tmp_path)[1].total() == 4
    assert len(image_files(zipped(tmp_path, tmp_path.parent / "kinds.zip"))) == len(KINDS)


def test_16_bits_are_scaled_to_8_and_not_clipped(tmp_path: Path) -> None:
    waves = (np.sin(np.arange(64) / 9)[:, None] * np.cos(np.arange(64) / 7) + 1) / 2
    Image.fromarray((waves * 65535).astype(np.uint16)).save(tmp_path / "a.png")
    (file,) = image_files(tmp_path)
    wanted = torch.from_numpy(np.floor(np.floor(waves * 65535) / 257 + 0.5).astype(np.uint8))
    assert torch.equal(file.square(64), wanted.expand(3, 64, 64))
