"""An export is whole or not there, is never written over, and one process makes it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.folder_lock import FolderLock
from models import export

FULL = """
import errno, sys
from pathlib import Path
import models.weights
from models import export
kept = models.weights.save_file
def full(tensors, path, metadata):
    kept(tensors, path, metadata)
    if Path(path).parent.name == "{at}":
        {how}
models.weights.save_file = full
export.main(sys.argv[1:])
"""
KILL = "import os; os.kill(os.getpid(), 9)"
NO_ROOM = "raise OSError(errno.ENOSPC, 'No space left on device', str(path))"


def words(folder: Path) -> list[str]:
    return ["--model", str(folder), "--out", str(folder.parent / "out")]


@pytest.mark.parametrize(("how", "code"), [(KILL, -9), (NO_ROOM, 2)], ids=["killed", "full disk"])
def test_an_interrupted_export_can_be_repeated(folder: Path, how: str, code: int) -> None:
    program = FULL.format(at="tokenizer", how=how)
    cut = subprocess.run([sys.executable, "-c", program, *words(folder)], capture_output=True, text=True)
    assert cut.returncode == code and not (folder.parent / "out").exists()
    if code == 2:
        assert "the disk is full" in cut.stderr and cut.stderr.count("\n") == 1
    export.main(words(folder))
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model", "out"]
    again = json.loads((folder / "illume.json").read_text())["fingerprints"]
    assert json.loads((folder.parent / "out" / "illume.json").read_text())["fingerprints"] == again


def test_a_second_export_to_a_locked_folder_is_refused(folder: Path, capsys) -> None:
    lock = FolderLock(folder.parent / "out")
    try:
        with pytest.raises(SystemExit) as stop:
            export.main(words(folder))
    finally:
        lock.release()
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count("\n") == 1
    assert f"out is being written by process {os.getpid()}" in said and "name another folder" in said


def test_a_concurrent_export_is_not_overwritten(folder: Path, monkeypatch, capsys) -> None:
    """On a file system without locks, the last rename still replaces nothing."""
    write = export._write

    def beaten(options, scratch):
        write(options, scratch)
        options.out.mkdir()
        (options.out / "theirs").touch()

    monkeypatch.setattr(export, "_write", beaten)
    with pytest.raises(SystemExit):
        export.main(words(folder))
    assert "is there already" in capsys.readouterr().err
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model", "out"]
    assert [path.name for path in (folder.parent / "out").iterdir()] == ["theirs"]


def test_weights_have_the_permissions_of_the_readme(folder: Path) -> None:
    before = os.umask(0o022)
    try:
        export.main(words(folder))
        export.main([*words(folder)[:-1], str(folder.parent / "lm"), "--language"])
    finally:
        os.umask(before)
    found = [path for name in ("out", "lm") for path in (folder.parent / name).rglob("*.safetensors")]
    assert len(found) == 5 and {path.stat().st_mode & 0o777 for path in found} == {0o644}
