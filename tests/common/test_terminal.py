"""Names of elsewhere on a terminal: no cursor moves, no line is forged."""

import pytest

from common.errors import Parser, user_errors
from common.terminal import printable

EVIL = "x\x1b]0;title\x07\x1b[2J\rdoctor: all whole\n\x9b31m\u202e\u2028\ud800 größe 你好"


def test_control_characters_are_escaped_and_letters_stay() -> None:
    shown = printable(EVIL)
    assert shown.isprintable() and "größe 你好" in shown and r"\x1b[2J" in shown
    assert printable("a plain name (1).tar") == "a plain name (1).tar"
    shown.encode("utf-8")  # half of a pair would not


def test_errors_print_them_escaped(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit), user_errors("x"):
        raise ValueError(EVIL)
    with pytest.raises(SystemExit):
        Parser(prog="x").parse_args([f"--{EVIL}"])
    for line in capsys.readouterr().err.splitlines():
        assert line.startswith("x: error: ") and line.isprintable()
