"""Folders and archives give the same pictures; what an archive should not hold is refused, and nothing is unpacked."""

import tarfile
import zipfile
from pathlib import Path

import pytest

from evals import picture_sets
from evals.picture_sets import by_stem, check_whole, pictures_in, spread
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


def test_a_folder_a_zip_and_a_tar_hold_the_same_pictures(folder: Path, tmp_path: Path) -> None:
    plain = pictures_in(folder)
    assert [picture.name for picture in plain] == sorted(NAMES)
    for path in (zipped(folder, tmp_path / "set.zip"), tarred(folder, tmp_path / "set.tar")):
        found = pictures_in(path)
        assert [(p.name, p.size, p.read()) for p in found] == [(p.name, p.size, p.read()) for p in plain]


def test_names_that_lead_out_of_an_archive_are_refused(tmp_path: Path) -> None:
    for name in ("../x.png", "/x.png", "a/../../x.png", "a\\..\\x.png"):
        with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
            archive.writestr(name, b"x")
        with pytest.raises(ValueError, match="leads out of it"):
            pictures_in(tmp_path / "evil.zip")
        with tarfile.open(tmp_path / "evil.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo(name))
        with pytest.raises(ValueError, match="leads out of it"):
            pictures_in(tmp_path / "evil.tar")


def test_what_is_no_set_of_pictures(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="there is no .*none"):
        pictures_in(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no images"):
        pictures_in(tmp_path / "empty")
    for path in (tarred(folder, tmp_path / "set.tar.gz", "w:gz"), folder / "a.png"):
        with pytest.raises(ValueError, match="no folder, no .zip and no plain .tar"):
            pictures_in(path)
    monkeypatch.setattr(picture_sets, "MOST_BYTES", 10)
    with pytest.raises(ValueError, match="bytes, which no picture has"):
        pictures_in(folder)


def test_a_member_that_is_damaged_is_one_line(folder: Path, tmp_path: Path) -> None:
    path = zipped(folder, tmp_path / "set.zip")
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("a.png").header_offset + 60
    content = bytearray(path.read_bytes())
    content[place] ^= 255
    path.write_bytes(content)
    (picture,) = (p for p in pictures_in(path) if p.name == "a.png")
    with pytest.raises(ValueError, match="a.png cannot be read"):
        picture.read()


def test_missing_and_extra_pictures(folder: Path) -> None:
    found = pictures_in(folder)
    known = by_stem(found, {"a", "b/1", "b/2", "c"}, "why")
    assert [p.name for p in check_whole(known, ["b/2", "a"], folder, "do")] == ["b/2.jpg", "a.png"]
    with pytest.raises(ValueError, match="c.webp is one image too many: why"):
        by_stem(found, {"a", "b/1", "b/2"}, "why")
    with pytest.raises(FileNotFoundError, match="lacks 2 of 3 images, the first is d: do this"):
        check_whole(known, ["a", "d", "e"], folder, "do this")
    paint(folder, ["a.jpg"], 1)
    with pytest.raises(ValueError, match="a.png is there twice"):
        by_stem(pictures_in(folder), {"a", "b/1", "b/2", "c"}, "why")


def test_a_few_are_taken_from_all_over_the_list() -> None:
    assert spread(range(10), 3) == [0, 3, 6] and spread(range(3), 5) == spread(range(3), None) == [0, 1, 2]
