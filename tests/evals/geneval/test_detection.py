"""Which detections count: score, number and overlap, within a class."""

import pytest

from evals.geneval.detection import Box, Detection, iou, select


def found(*scores: float, name: str = "cow", box: Box = (0, 0, 9, 9)) -> list[Detection]:
    return [Detection(name, score, box) for score in scores]


def scores(
    detections: list[Detection], threshold: float = 0.3, most: int = 16, overlap: float = 1.0
) -> list[float]:
    return [one.score for one in select(detections, threshold, most, overlap).get("cow", [])]


def test_a_score_must_exceed_the_threshold_and_the_surest_comes_first() -> None:
    assert scores(found(0.3, 0.5, 0.31, 0.9)) == [0.9, 0.5, 0.31]
    assert select(found(0.1), 0.3, 16, 1.0) == {}  # no class without detections


def test_at_most_so_many_of_a_class() -> None:
    items = found(*[0.4 + i / 100 for i in range(20)]) + found(0.5, name="cat")
    assert scores(items) == [pytest.approx(0.59 - i / 100) for i in range(16)]
    assert len(select(items, 0.3, 16, 1.0)["cat"]) == 1


def test_overlap_is_off_unless_it_is_asked_for_and_stays_within_a_class() -> None:
    items = found(0.9, 0.8) + found(0.7, box=(20, 0, 29, 9)) + found(0.6, name="cat")
    assert scores(items) == [0.9, 0.8, 0.7]
    assert scores(items, overlap=0.5) == [0.9, 0.7]
    assert len(select(items, 0.3, 16, 0.5)["cat"]) == 1
    assert scores(items, most=2, overlap=0.5) == [0.9]  # the cap comes first


def test_iou_counts_the_last_pixel() -> None:
    assert iou((0, 0, 9, 9), (0, 0, 9, 9)) == 1
    assert iou((0, 0, 9, 9), (10, 0, 19, 9)) == 0
    assert iou((0, 0, 9, 9), (5, 0, 14, 9)) == pytest.approx(50 / 150)
    assert iou((0, 0, 9, 9), (9, 0, 18, 9)) == pytest.approx(10 / 190)  # one column in common


def test_a_box_that_overlaps_exactly_as_much_is_dropped() -> None:
    items = found(0.9) + found(0.8, box=(0, 0, 9, 4))  # IoU 50 / 100
    assert scores(items, overlap=0.5) == [0.9] and scores(items, overlap=0.51) == [0.9, 0.8]
