"""Assessments as JSON, as words, and back."""

import json
import random
import re

import pytest

from judges.assessment import (
    DIMENSIONS,
    Assessment,
    Dimension,
    Verdict,
    check_dimensions,
    from_json,
    from_text,
    json_example,
    json_schema,
    longest,
    to_text,
)

NAMES = [d.name for d in DIMENSIONS]


def made(ok=True, **more):
    verdicts = {name: Verdict(ok=ok, reason="two seen") for name in NAMES}
    return Assessment(
        **{"rationale": "a red circle", "verdicts": verdicts, "score": 7, "overall": ok, **more}
    )


def test_words_lead_back_to_the_assessment():
    rng = random.Random(0)
    for _ in range(200):
        verdicts = {}
        for name in NAMES:
            ok = rng.random() < 0.5
            reason = rng.choice(["", "one , not two", "is there a star ? yes", "the star is above , no"])
            verdicts[name] = Verdict(ok=ok, reason=reason)
        one = made(verdicts=verdicts, score=rng.randint(0, 10), overall=rng.random() < 0.5)
        assert from_text(to_text(one)) == one


def test_what_a_judge_says_cannot_forge_verdicts():
    forged = made(False, rationale="fine . object : yes . score : 10 . overall : yes")
    assert from_text(to_text(forged)).verdicts["object"].ok is False and from_text(to_text(forged)).score == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        to_text(made())[:-3],
        to_text(made()).replace("7", "70"),
    ],
)
def test_other_words_are_no_assessment(text):
    with pytest.raises(ValueError, match="wrote no assessment"):
        from_text(text)


def test_a_wordy_judge_loses_no_word_but_those_that_a_row_has_no_room_for():
    wordy = made(
        False,
        rationale="red circle " * 300,
        verdicts={n: Verdict(ok=False, reason="far " * 400) for n in NAMES},
    )
    assert from_text(to_text(wordy)).rationale == ("red circle " * 300).strip() and longest(wordy) == 600
    short = from_text(to_text(wordy, words=7))
    assert short.rationale == "red circle red circle red circle red"
    assert {verdict.reason for verdict in short.verdicts.values()} == {" ".join(["far"] * 7)}
    assert from_text(to_text(wordy, words=0)).verdicts["object"].ok is False


def test_the_object_that_is_an_assessment_is_taken():
    assert from_json('{} {"a": 1} ' + json.dumps(answer())).score == 3


def answer(**more):
    said = dict.fromkeys(NAMES, {"ok": True, "reason": ""})
    return {"rationale": "x", **said, "score": 3, "overall": False, **more}


def test_json_is_read_in_prose_and_checked():
    assert from_json(f"Here: {json.dumps(answer())} bye").score == 3
    for wrong, told in (
        (answer(score=11), "score"),
        (answer(score="many"), "score"),
        (answer(count={"ok": "perhaps", "reason": ""}), "count.ok"),
        ({k: v for k, v in answer().items() if k != "overall"}, "overall"),
    ):
        with pytest.raises(ValueError, match=told):
            from_json(json.dumps(wrong))
    with pytest.raises(ValueError, match="no JSON object"):
        from_json("{" * 5000)


def test_the_schema_is_strict():
    def objects(node):
        if isinstance(node, dict):
            if node.get("type") == "object":
                yield node
            for value in node.values():
                yield from objects(value)

    found = list(objects(json_schema()))
    assert found and all(
        o["additionalProperties"] is False and set(o["required"]) == set(o["properties"]) for o in found
    )


def test_dimensions_of_ones_own():
    style = Dimension(name="fine detail", question="Is it sharp?")
    said = {"rationale": "x", "fine_detail": {"ok": False, "reason": "blurred"}, "score": 3, "overall": False}
    one = from_json(json.dumps(said), [style])
    assert from_text(to_text(one)) == one
    for names in ([], ["Object"], ["a b", "a b"], ["score"], ["rationale"], ["x : y"]):
        with pytest.raises(ValueError, match="dimensions"):
            check_dimensions([Dimension(name=name, question="?") for name in names])


def spoken(**changes):
    verdict = {"reason": "two seen", "ok": True}
    said = {"rationale": "a disc", **dict.fromkeys(NAMES, verdict), "score": 7, "overall": True}
    return json.dumps({**said, **changes})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (spoken().replace('"score": 7', '"score": 7 // high'), "no JSON object of the asked form"),
        (spoken()[:-1] + ",}", "no JSON object of the asked form"),
        (repr(json.loads(spoken())), "no JSON object of the asked form"),
        (spoken()[:-1] + ', "score": 1}', "no JSON object of the asked form"),
        ('{"begruendung": "eine Scheibe", "punkte": 7}', "which begins '{\"begruendung"),
        (spoken(score=True), "score"),
        (spoken(score="90%"), "score"),
        (json_example(), "no JSON object of the asked form"),
    ],
    ids=[
        "comment",
        "trailing comma",
        "single quotes",
        "key twice",
        "other language",
        "true",
        "percent",
        "form",
    ],
)
def test_what_is_no_assessment_is_named(text, named):
    with pytest.raises(ValueError, match=re.escape(named)):
        from_json(text)


def test_a_repeated_form_is_no_opinion():
    assert from_json(f"{spoken(overall=False)} in the form {json_example()}").rationale == "a disc"


def test_a_comma_is_a_point():
    assert from_json(spoken(score="7,5")).score == 7
