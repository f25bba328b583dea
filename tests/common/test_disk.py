"""Free space of a disk."""

import shutil

from common.disk import free_bytes, gigabytes


def test_free_bytes_are_of_the_nearest_parent_that_exists(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: asked.append(path) or shutil._ntuple_diskusage(9, 4, 5)
    )
    assert free_bytes(tmp_path / "not" / "there") == 5 and asked == [tmp_path]


def test_sizes_are_in_gigabytes():
    assert gigabytes(1_234_500_000_000) == "1,234.5 GB"
