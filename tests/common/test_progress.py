"""Progress of long work: lines of a log, or a bar on a terminal."""

import io
import logging
import sys
import time
from types import SimpleNamespace

import pytest

import common.progress
from common.progress import progress


def test_a_log_gets_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = iter([0.0, 15.0, 25.0, 25.0, 30.0, 50.0, 50.0])
    monkeypatch.setattr(common.progress, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    with caplog.at_level(logging.INFO, "common"):
        assert list(progress("abcd", "images scored")) == list("abcd")
    assert caplog.messages == ["2 of 4 images scored after 25 s", "4 of 4 images scored after 50 s"]


def test_items_without_a_length_are_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(common.progress, "LOG_SECONDS", -1)
    with caplog.at_level(logging.INFO, "common"):
        assert list(progress(iter("a"), "images made")) == ["a"]
        assert list(progress(iter("b"), "images made", total=1)) == ["b"]
    assert caplog.messages == ["1 images made after 0 s", "1 of 1 images made after 0 s"]


class Terminal(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with caplog.at_level(logging.INFO, "common"):
        for _ in progress("ab", "[images] scored"):
            time.sleep(0.15)
    assert "[images] scored" in sys.stderr.getvalue() and "/2" in sys.stderr.getvalue()
    assert not caplog.messages


def test_of_several_processes_the_first_has_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("RANK", "1")
    assert list(progress("ab", "images scored")) == ["a", "b"]
    assert sys.stderr.getvalue() == ""
