"""Files that cannot be read to their end are refused before anything reads them."""

import os

import pytest

from common.foreign_files import POINTER, check_file, check_no_pointers, is_pointer


def test_a_readable_file_passes(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 10)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    check_file(tmp_path / "a", max_bytes=10)
    check_file(tmp_path / "link")
    assert not is_pointer(tmp_path / "a")


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "lost").symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match="is no file: it is a folder"):
        check_file(tmp_path)
    with pytest.raises(ValueError, match="is no file: it is a pipe"):
        check_file(tmp_path / "pipe")
    with pytest.raises(ValueError, match="loop cannot be read"):
        check_file(tmp_path / "loop")
    with pytest.raises(FileNotFoundError, match="lost, a link to .*gone, is not there"):
        check_file(tmp_path / "lost")


def test_large_files_and_pointers_are_refused(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"x" * 11)
    with pytest.raises(ValueError, match="has 11 bytes; at most 10 are read"):
        check_file(tmp_path / "a.bin", max_bytes=10)
    check_no_pointers(tmp_path, "*.bin")
    (tmp_path / "b.bin").write_bytes(POINTER + b"v1\n")
    assert is_pointer(tmp_path / "b.bin")
    with pytest.raises(ValueError, match=r"b\.bin is a git-lfs pointer .*git lfs pull"):
        check_no_pointers(tmp_path)
    check_no_pointers(tmp_path, "*.txt")
    check_no_pointers(tmp_path / "not there")
