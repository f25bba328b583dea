"""Files are there whole or not at all, whoever else writes and whenever the writer is killed."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.files import atomic, atomic_replace, remove_scratch, scratch_path, write_bytes, write_text

HELD = """
import sys, time
from pathlib import Path
from common.files import atomic
with atomic(Path(sys.argv[1])) as scratch:
    scratch.{make}
    print(scratch.name, flush=True)
    time.sleep(60)
"""


def begun(target: Path, make: str = "write_text('half')") -> tuple[subprocess.Popen, Path]:
    """A process that is in the middle of writing `target`, and where."""
    words = [sys.executable, "-c", HELD.format(make=make), str(target)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    return process, target.with_name(process.stdout.readline().strip())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_scratch_names_are_a_process_own_and_no_image(tmp_path: Path) -> None:
    process, theirs = begun(tmp_path / "a.png")
    try:
        write_text(tmp_path / "a.png", "whole")
        assert theirs.read_text() == "half" and theirs != scratch_path(tmp_path / "a.png")
        assert theirs.name.startswith(".") and theirs.suffix == ".tmp"
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "a.png").read_text() == "whole"


@pytest.mark.parametrize("make", ["write_text('half')", "mkdir()"])
def test_scratch_of_a_killed_process_is_taken_away(tmp_path: Path, make: str) -> None:
    process, theirs = begun(tmp_path / "target", make)
    process.kill()
    process.wait()
    assert theirs.exists() and not (tmp_path / "target").exists()
    write_text(tmp_path / "target", "whole")
    assert names(tmp_path) == ["target"]


def test_scratch_of_a_dead_process_that_nobody_reaps_is_taken_away(tmp_path: Path) -> None:
    process, theirs = begun(tmp_path / "target")
    process.kill()
    while b") Z" not in Path(f"/proc/{process.pid}/stat").read_bytes():
        time.sleep(0.01)
    assert theirs.exists()
    write_text(tmp_path / "target", "whole")
    assert names(tmp_path) == ["target"]
    process.wait()


def test_scratch_of_another_machine_is_its_own_until_the_folder_is_ours(tmp_path: Path) -> None:
    foreign = tmp_path / ".model.1@00000000.tmp"
    foreign.mkdir()
    write_text(tmp_path / "other", "")
    assert foreign.exists()
    remove_scratch(tmp_path / "model")
    assert names(tmp_path) == ["other"]


def test_what_was_there_comes_back_after_a_kill_between_two_renames(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    old = scratch_path(tmp_path / "model").name.replace(f".{os.getpid()}@", f".{gone.pid}@")
    (tmp_path / old.replace(".tmp", ".old")).mkdir()
    write_text(tmp_path / "other", "")
    assert names(tmp_path) == ["model", "other"]


def test_a_failed_write_leaves_nothing_and_names_the_file(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "plan.json"
    with pytest.raises(OSError, match=r"plan.json") as raised, atomic(target) as scratch:
        scratch.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert raised.value.filename == str(target) and names(target.parent) == []


def test_rename_without_replacing(tmp_path: Path) -> None:
    for kind in ("file", "folder"):
        target, scratch = tmp_path / kind, scratch_path(tmp_path / kind)
        for content in ("first", "second"):
            if kind == "folder":
                scratch.mkdir()
            (scratch / "in" if kind == "folder" else scratch).write_text(content)
            if content == "first":
                atomic_replace(scratch, target, replace=False)
        with pytest.raises(FileExistsError, match=f"{kind} is there already"):
            atomic_replace(scratch, target, replace=False)
        assert (target / "in" if kind == "folder" else target).read_text() == "first"
        assert scratch.exists()


def test_an_empty_folder_is_free_and_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with atomic(tmp_path / "link", replace=False) as scratch:
        scratch.mkdir()
        (scratch / "a").touch()
    assert (tmp_path / "link").is_symlink() and names(tmp_path / "real") == ["a"]
    write_text(tmp_path / "link" / "a", "new")
    with (
        pytest.raises(FileExistsError, match="name a folder that is not"),
        atomic(tmp_path / "link", replace=False),
    ):
        pass


def test_a_name_of_full_length_is_written(tmp_path: Path) -> None:
    write_bytes(tmp_path / ("ä" * 127), b"content")
    assert [len(os.fsencode(name)) for name in names(tmp_path)] == [254]


def test_many_processes_write_one_file(tmp_path: Path) -> None:
    loop = (
        "import sys; from pathlib import Path; from common.files import write_text\n"
        "for _ in range(50): write_text(Path(sys.argv[1]), sys.argv[2] * 10000)"
    )
    target = tmp_path / "note.json"
    writers = [subprocess.Popen([sys.executable, "-c", loop, str(target), letter]) for letter in "ab"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if target.exists():
            seen.add(target.read_text())
        time.sleep(0.001)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen <= {"a" * 10000, "b" * 10000} and names(tmp_path) == ["note.json"]


def test_a_folder_and_a_file_take_each_others_place(tmp_path: Path) -> None:
    """A run that was one process's and is sharded now, or the other way."""
    target = tmp_path / "last.ckpt"
    for number, kind in enumerate(("file", "folder", "file")):
        scratch = scratch_path(target)
        if kind == "folder":
            scratch.mkdir()
        (scratch / "share" if kind == "folder" else scratch).write_text(str(number))
        atomic_replace(scratch, target)
        assert (target / "share" if kind == "folder" else target).read_text() == str(number)
        assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for content in ("old", "new"):
        scratch = scratch_path(target)
        scratch.mkdir()
        (scratch / content).write_text(content)
        atomic_replace(scratch, target)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in target.iterdir()] == ["new"]
