"""The report of a profile: every moment belongs to the innermost label."""

import pytest

from training.profile_report import REST, Recording, Span, format_report, time_by_label

SPANS = [
    Span("waiting for data", 0.0, 1.0, 1.0, 0.0),
    Span("optimizer", 1.0, 9.0, 0.5, 0.0),
    Span("forward: the rest", 1.5, 5.0, 0.1, 0.0),
    Span("forward: trunk", 2.0, 4.0, 0.1, 0.0),
    Span("aten::mm", 2.5, 3.5, 1.0, 0.25),
    Span("aten::nonzero", 4.5, 4.6, 0.1, 0.0),
    Span("backward", 5.0, 8.0, 0.1, 0.0),
]


def test_every_moment_belongs_to_the_innermost_label():
    found = time_by_label(Recording(2, 10.0, 4.0, SPANS))
    expected = {
        "waiting for data": 1.0,
        "forward: trunk": 2.0,
        "forward: the rest": 1.5,
        "backward": 3.0,
        "optimizer": 1.5,
        REST: 1.0,
    }
    assert found.seconds == pytest.approx(expected) and list(found.seconds)[0] == "waiting for data"
    assert (
        found.waits == {("forward: the rest", "aten::nonzero"): 1} and found.device["forward: trunk"] == 0.25
    )


def test_the_report_gives_times_per_step():
    text = format_report(Recording(2, 10.0, 4.0, SPANS))
    assert "2 steps of training, 5000.0 ms each" in text and "4000.0 ms before" in text
    (trunk,) = [line.split() for line in text.splitlines() if line.startswith("forward: trunk")]
    assert trunk[2:] == ["1000.00", "20.0%", "125.00"]
    assert "0.50  forward: the rest: aten::nonzero" in text and "aten::mm" in text
    assert "device ms" not in format_report(Recording(1, 10.0, 4.0, SPANS[:3]))
