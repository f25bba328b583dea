"""A folder is one process's at a time, and is free as soon as that is gone, however it ended."""

import errno
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import common.folder_lock
from common.folder_lock import FolderBusy, lock_folder

HOLD = """
import os, sys, time
from pathlib import Path
from common.folder_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
child = os.fork() if len(sys.argv) > 2 else 0
if child or len(sys.argv) == 2:
    print(child, flush=True)
time.sleep(60)
"""


def holder(folder: Path, *forks: str) -> tuple[subprocess.Popen, int]:
    """A process that has a folder, and the child that it forked, if it did."""
    words = [sys.executable, "-c", HOLD, str(folder), *forks]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


def test_the_second_is_told_who_writes_and_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    process, _ = holder(folder)
    try:
        with pytest.raises(FolderBusy) as raised, lock_folder(folder):
            pass
    finally:
        process.kill()
        process.wait()
    line = str(raised.value)
    assert "\n" not in line and str(folder) in line and "wait for it" in line
    assert f"process {process.pid} (" in line and f"kill {process.pid}" in line


def test_a_killed_holder_leaves_the_folder_free(tmp_path: Path) -> None:
    process, _ = holder(tmp_path / "out")
    process.kill()
    process.wait()
    with lock_folder(tmp_path / "out"):
        assert [path.name for path in tmp_path.iterdir()] == [".out.lock"]
    assert not list(tmp_path.iterdir())


def test_a_forked_child_does_not_keep_the_lock_of_its_parent(tmp_path: Path) -> None:
    process, child = holder(tmp_path / "out", "forks")
    process.kill()
    process.wait()
    try:
        until = time.monotonic() + 20  # the child closes its copy as soon as it runs
        while time.monotonic() < until:
            with suppress(FolderBusy), lock_folder(tmp_path / "out"):
                os.kill(child, 0)  # it lives, as a data loader's worker does for some seconds
                return
            time.sleep(0.05)
        raise AssertionError("the lock is kept")
    finally:
        os.kill(child, 9)


def test_links_and_other_spellings_name_one_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    with lock_folder(tmp_path / "out"):
        for other in (tmp_path / "link", tmp_path / "out" / ".." / "out"):
            with pytest.raises(FolderBusy), lock_folder(other):
                pass


def test_a_folder_on_a_file_system_without_locks_is_told_and_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(common.folder_lock.fcntl, "flock", refuse)
    with lock_folder(tmp_path / "out"):
        pass
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'out'}: its file system has no locks (No locks available): let no other process write there"
    ]


def test_beside_a_mounted_disk_the_lock_lies_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, opened = tmp_path / ".mount.lock", common.folder_lock._opened

    def refuse(path: Path) -> object:
        if path == beside:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path)

    monkeypatch.setattr(common.folder_lock, "_opened", refuse)
    with pytest.raises(PermissionError, match=r"\.mount\.lock"), lock_folder(tmp_path / "mount"):
        pass
    (tmp_path / "mount").mkdir()
    with lock_folder(tmp_path / "mount"), pytest.raises(FolderBusy), lock_folder(tmp_path / "mount"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["mount"]


def test_many_at_once_and_one_has_it(tmp_path: Path) -> None:
    racing = """
import sys, time
from pathlib import Path
from common.folder_lock import FolderBusy, lock_folder
out, had = Path(sys.argv[1]), 0
for _ in range(300):
    try:
        with lock_folder(out):
            had += 1
            mark = out.with_name("mark")
            mark.touch(exist_ok=False)
            mark.unlink()
    except FolderBusy:
        pass
print(had)
"""
    words = [sys.executable, "-c", racing, str(tmp_path / "out")]
    runs = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "abc"]
    printed = [run.communicate() for run in runs]
    assert [err for _, err in printed] == ["", "", ""] and all(int(out) > 0 for out, _ in printed)
    assert not list(tmp_path.iterdir())
