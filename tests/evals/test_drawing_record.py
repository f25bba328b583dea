"""The record of a folder keeps images of other models, seeds and settings out of it."""

from pathlib import Path

import pytest

from evals.drawing_record import check_record, read_provenance, read_record, write_record
from tests.evals.painter import RECORD


def test_another_record_is_refused(tmp_path: Path) -> None:
    check_record(tmp_path, RECORD)  # there is none yet
    write_record(tmp_path, RECORD)
    check_record(tmp_path, RECORD)
    with pytest.raises(ValueError, match="drawn with model 'abc' and not 'n': name another folder"):
        check_record(tmp_path, RECORD | {"model": "n"})
    assert read_record(tmp_path) == RECORD and read_provenance(tmp_path) == RECORD


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "drawn.json").write_text("{")
    with pytest.raises(ValueError, match=r"drawn.json, line 1: not valid JSON.*remove it to score"):
        read_record(tmp_path)


def test_the_provenance_of_other_images_is_unknown(tmp_path: Path) -> None:
    assert read_record(tmp_path) == {} and read_provenance(tmp_path) == {"seed": None, "model": None}
