"""Types of command-line arguments."""

import argparse
from pathlib import Path

import pytest

from common.arguments import existing_file, existing_folder, new_image, prompt_text, whole_number


def test_good_words_are_converted(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert whole_number(1, 9)("9") == 9 and prompt_text("a star") == "a star"
    assert existing_file(str(tmp_path / "a.png")) == new_image(str(tmp_path / "a.png")) == tmp_path / "a.png"
    assert existing_folder(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    ("kind", "word", "message"),
    [
        (whole_number(1, 9), "10", "10 is out of range: from 1 to 9"),
        (whole_number(1, 9), "1.5", "'1.5' is not a whole number"),
        (prompt_text, " ", "it is empty"),
        (existing_file, "absent.png", "absent.png is not there"),
        (existing_file, ".", "is not a file"),
        (existing_folder, "absent", "the folder absent is not there: make it first"),
        (new_image, "absent/a.png", "the folder absent is not there"),
        (new_image, "a.txt", "a.txt is not the name of an image"),
    ],
)
def test_bad_words_are_refused_in_one_line(kind, word: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=message) as error:
        kind(word)
    assert "\n" not in str(error.value)
