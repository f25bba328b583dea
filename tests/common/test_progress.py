"""Long work tells how far it is, not too often."""

import logging
from types import SimpleNamespace

import pytest

from common import progress
from common.progress import telling


def test_it_tells_what_is_done(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    seconds = iter([0.0, 15.0, 25.0, 25.0, 30.0, 50.0, 50.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    with caplog.at_level(logging.INFO, "evals"):
        assert list(telling("abcd", "images scored")) == list("abcd")
    assert caplog.messages == ["2 of 4 images scored after 25 s", "4 of 4 images scored after 50 s"]


def test_of_what_has_no_length_it_tells_the_number_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "OFTEN", -1)
    with caplog.at_level(logging.INFO, "evals"):
        assert list(telling(iter("a"), "images made")) == ["a"]
    assert caplog.messages == ["1 images made after 0 s"]
