"""The official scorer's rules, branch by branch, on detections that were made up."""

from collections.abc import Sequence
from typing import Any

import pytest

from evals.geneval.detection import Box, Detection, select
from evals.geneval.metadata import parse_prompt
from evals.geneval.rules import Rules, Verdict, judge, relations

OFFICIAL = Rules()


def at(x: float, y: float, name: str = "cow", score: float = 0.95, side: float = 10) -> Detection:
    return Detection(name, score, (x - side / 2, y - side / 2, x + side / 2, y + side / 2))


def verdict(
    detections: Sequence[Detection],
    include: list[dict[str, Any]],
    exclude: Sequence[dict[str, Any]] = (),
    tag: str = "two_object",
    colours: dict[float, str] | None = None,
) -> Verdict:
    """`colours` by the score of a detection; without them nobody may ask for one."""
    said = {"tag": tag, "prompt": "any", "include": include, "exclude": list(exclude)}
    found = select(detections, OFFICIAL.threshold_for(tag), OFFICIAL.most, OFFICIAL.overlap)

    def tell(objects: Sequence[Detection], name: str) -> list[str]:
        assert colours is not None and {one.name for one in objects} == {name}
        return [colours[one.score] for one in objects]

    return judge(parse_prompt(said, "here"), found, tell, OFFICIAL)


def wants(name: str = "cow", count: int = 1, **more: Any) -> dict[str, Any]:
    return {"class": name, "count": count} | more


def test_all_that_is_asked_for_is_there_and_more_does_not_matter() -> None:
    seen = [at(10, 10), at(50, 50), at(80, 10, "cat"), at(20, 80, "dog")]
    assert verdict(seen, [wants(), wants("cat")]) == Verdict(True, [])


def test_too_few() -> None:
    said = verdict([at(10, 10)], [wants(count=3), wants("cat")])
    assert said == Verdict(False, ["expected cow>=3, found 1", "expected cat>=1, found 0"])


@pytest.mark.parametrize(
    ("count", "reason"), [(2, []), (3, ["expected cow<3, found 3"]), (4, ["expected cow<3, found 4"])]
)
def test_too_many_where_more_are_excluded(count: int, reason: list[str]) -> None:
    seen = [at(20 * i, 10) for i in range(count)]
    assert verdict(seen, [wants(count=2)], [wants(count=3)], "counting") == Verdict(not reason, reason)


def test_counting_needs_surer_detections() -> None:
    doubtful = [at(10, 10, score=0.85), at(40, 10, score=0.95), at(80, 10, score=0.9)]
    assert verdict(doubtful, [wants(count=3)]).correct
    assert verdict(doubtful, [wants(count=2)], tag="counting").reasons == ["expected cow>=2, found 1"]
    assert verdict(
        doubtful, [wants(count=1)], [wants(count=2)], "counting"
    ).correct  # nor do they count as too many


def test_colours_of_the_surest_alone() -> None:
    seen = [at(10, 10, score=0.9), at(40, 10, score=0.8)]
    asked = [wants(color="red")]
    assert verdict(seen, asked, colours={0.9: "red", 0.8: "blue"}).correct
    said = verdict(seen, asked, colours={0.9: "blue", 0.8: "red"})
    assert said == Verdict(False, ["expected red cow>=1, found 0 red; and 1 blue"])


def test_every_one_must_have_the_colour_and_the_reason_lists_what_they_have() -> None:
    seen = [at(10, 10, score=0.9), at(40, 10, score=0.8), at(80, 10, score=0.7)]
    said = verdict(seen, [wants(count=3, color="green")], colours={0.9: "white", 0.8: "green", 0.7: "red"})
    assert said.reasons == ["expected green cow>=3, found 1 green; and 1 red, 1 green, 1 white"]


def test_nobody_is_asked_for_colours_of_too_few() -> None:
    assert verdict([], [wants(color="red")]).reasons == ["expected cow>=1, found 0"]


BESIDE = [wants("cat"), wants(position=["left of", 0])]


def test_a_place_that_is_right_or_wrong() -> None:
    cat = at(50, 50, "cat")
    assert verdict([at(10, 50), cat], BESIDE).correct
    assert verdict([at(90, 50), cat], BESIDE).reasons == [
        "expected cow left of target, found right of target"
    ]
    assert verdict([at(51, 50), cat], BESIDE).reasons == ["expected cow left of target, found  target"]
    assert verdict([at(90, 90), cat], BESIDE).reasons == [
        "expected cow left of target, found right of and below target"
    ]


def test_a_place_without_its_target() -> None:
    said = verdict([at(10, 50)], BESIDE)
    assert said.reasons == ["expected cat>=1, found 0", "no target for cow to be left of"]


def test_a_target_of_the_wrong_colour_is_none() -> None:
    asked = [wants("cat", color="red"), wants(position=["left of", 0])]
    said = verdict([at(10, 50), at(50, 50, "cat")], asked, colours={0.95: "blue"})
    assert said.reasons[1] == "no target for cow to be left of"


def test_a_target_that_is_itself_misplaced_is_none() -> None:
    asked = [wants("cat"), wants(position=["left of", 0]), wants("dog", position=["above", 1])]
    said = verdict([at(90, 50), at(50, 50, "cat"), at(90, 10, "dog")], asked)
    assert said.reasons[1:] == ["no target for dog to be above"]


def test_a_wrong_colour_spares_the_place() -> None:
    asked = [wants("cat"), wants(color="red", position=["left of", 0])]
    said = verdict([at(90, 50), at(50, 50, "cat")], asked, colours={0.95: "blue"})
    assert said.reasons == ["expected red cow>=1, found 0 red; and 1 blue"]


def test_each_object_must_stand_so_to_each_target_and_one_reason_is_enough() -> None:
    asked = [wants("cat", 2), wants(count=2, position=["left of", 0])]
    cats = [at(50, 50, "cat", 0.9), at(70, 50, "cat", 0.8)]
    assert verdict([at(10, 50), at(20, 50), *cats], asked).correct
    assert (
        len(verdict([at(10, 50), at(60, 50), *cats], asked).reasons) == 1
    )  # left of one, right of the other
    assert len(verdict([at(90, 50), at(99, 50), *cats], asked).reasons) == 1
    third = at(99, 50, "cat", 0.5), at(0, 99, "cat", 0.4)
    assert verdict([at(10, 50), at(20, 50), *cats, *third], asked).correct  # only the first two are targets


@pytest.mark.parametrize(
    ("dx", "dy", "seen"),
    [
        (-30, 0, ["left of"]), (30, 0, ["right of"]), (0, -30, ["above"]), (0, 30, ["below"]),
        (0, 0, []), (2, 0, []), (-2, 2, []),  # within a tenth of both sizes
        (3, 0, []), (4, 0, []),  # a third or half of the offset is left
        (4.1, 0, ["right of"]),
        (30, 30, ["right of", "below"]),
        (-30, 30, ["left of", "below"]),
        (30, 12, ["right of"]),
        (30, 20, ["right of"]), (30, 21, ["right of", "below"]),  # 18 of 36.06 is less than half, 19 of 36.62 more
    ],
)  # fmt: skip
def test_relations_of_centres(dx: float, dy: float, seen: list[str]) -> None:
    a, b = at(100 + dx, 100 + dy).box, at(100, 100).box
    assert relations(a, b, OFFICIAL) == seen


def test_large_objects_need_to_be_further_apart() -> None:
    small: tuple[Box, Box] = at(0, 0).box, at(6, 0).box
    large: tuple[Box, Box] = at(0, 0, side=30).box, at(6, 0, side=30).box
    assert relations(*small, OFFICIAL) == ["left of"] and relations(*large, OFFICIAL) == []


@pytest.mark.parametrize(
    "wrong", [{"threshold": 1}, {"counting_threshold": -0.1}, {"overlap": 0}, {"overlap": 1.5}]
)
def test_a_threshold_that_makes_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} .* out of range"):
        Rules(**wrong)
