"""Answers of chat models are read: thoughts, prose, and the forms that servers give them."""

import json
import re

import pytest

from judges.answers import parse_assessment
from judges.assessment import DIMENSIONS, json_example
from judges.judge import Unjudged
from tests.judges.fake_server import GOOD, VERDICT, completion, ok, pictures

NAMES = [d.name for d in DIMENSIONS]
BAD = {**GOOD, "overall": False, "score": 2}
PARTS = {"role": "assistant", "content": [{"type": "text", "text": json.dumps(GOOD)}]}
THOUGHT = {"role": "assistant", "content": None, "reasoning_content": json.dumps(GOOD)}


def test_json_within_prose_is_read(serve):
    server, judge = serve(ok(f"Sure! Here it is:\n```json\n{json.dumps(GOOD)}\n```\nAnything else?"))
    assert judge.assess(["a circle"], pictures(1))[0].score == 9 and len(server.requests) == 1


@pytest.mark.parametrize(
    ("content", "score", "overall"),
    [
        (f"<think>\nA guess: {json.dumps(GOOD)}\nNo.\n</think>\n```json\n{json.dumps(BAD)}\n```", 2, False),
        (f"<think>\n\n</think>\n\n{json.dumps(BAD)}", 2, False),
        (
            f"A guess: {json.dumps(GOOD)}</think>{json.dumps(BAD)}",
            2,
            False,
        ),  # templates that open the thought
        (f"[THINK]{json.dumps(GOOD)}[/THINK]{json.dumps(BAD)}", 2, False),
        (
            f"<|channel|>analysis<|message|>{json.dumps(GOOD)}<|channel|>final<|message|>{json.dumps(BAD)}",
            2,
            False,
        ),
        (f"<think>{'x' * 200_000}</think>{json.dumps(BAD)}", 2, False),
        (f"First {json.dumps(GOOD)}, but on a second look {json.dumps(BAD)}.", 2, False),
        (json.dumps({**GOOD, "rationale": "<think> is drawn in it"}), 9, True),
        (THOUGHT, 9, True),
        (PARTS, 9, True),
        (json.dumps({**GOOD, "score": 7.5}), 7, True),
        (json.dumps({**GOOD, "score": "9/10"}), 9, True),
        (json.dumps({**GOOD, "score": "4 of 5"}), 8, True),
        (json.dumps({**GOOD, "summary": "fine", "object": {**VERDICT, "confidence": 1}}), 9, True),
        (json.dumps([GOOD]), 9, True),
        (json.dumps({"assessment": GOOD}), 9, True),
        (json.dumps({key.title(): value for key, value in GOOD.items()}), 9, True),
    ],
    ids=lambda value: str(value)[:30],
)
def test_answers_of_real_servers_are_read_at_once(serve, content, score, overall):
    server, judge = serve(ok(content))
    (opinion,) = judge.assess(["a circle"], pictures(1))
    assert (opinion.score, opinion.overall) == (score, overall) and len(server.requests) == 1


@pytest.mark.parametrize(
    ("message", "finish", "said"),
    [
        ({"content": json.dumps(GOOD)[:60]}, "length", "limit of tokens"),
        ({"content": "", "reasoning_content": "I look and think"}, "length", "limit of tokens"),
        ({"content": f"<think> so {json.dumps(GOOD)}"}, "stop", "within its thoughts"),
        ({"content": None}, "stop", "empty"),
        ({"content": {"a": 1}}, "stop", "no text but dict"),
        ({"content": json.dumps({**GOOD, "score": "high"})}, "stop", "score"),
        ({"content": json.dumps(GOOD).replace("9", "NaN")}, "stop", "score"),
        ({"content": json.dumps(GOOD).replace("9", "1" + "0" * 5000)}, "stop", "rationale"),
        ({"content": '{"rationale":' * 100_000}, "stop", "no JSON object"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_unreadable_answers_are_named(serve, message, finish, said):
    body = completion({"role": "assistant", **message})
    body["choices"][0]["finish_reason"] = finish
    server, judge = serve((200, {}, json.dumps(body).encode()), tries=1)
    (opinion,) = judge.assess(["a circle"], pictures(1))
    assert isinstance(opinion, Unjudged) and said in opinion.reason


@pytest.mark.parametrize("finish", ["max_tokens", "MAX_TOKENS"])
def test_other_names_of_the_limit_are_known(serve, finish):
    body = completion(json.dumps(GOOD)[:60])
    body["choices"][0]["finish_reason"] = finish
    server, judge = serve((200, {}, json.dumps(body).encode()))
    (opinion,) = judge.assess(["a circle"], pictures(1))
    assert f"finish_reason {finish}" in opinion.reason and len(server.requests) == 1


def test_a_tool_call_is_named(serve):
    call = {"id": "1", "type": "function", "function": {"name": "x", "arguments": json.dumps(GOOD)}}
    server, judge = serve(ok({"role": "assistant", "content": None, "tool_calls": [call]}), tries=1)
    assert "calls a tool" in judge.assess(["a circle"], pictures(1))[0].reason


def test_the_object_that_is_an_assessment_is_read():
    assert parse_assessment('{} {"a": 1} ' + json.dumps(answer())).score == 3


def answer(**more):
    said = dict.fromkeys(NAMES, {"ok": True, "reason": ""})
    return {"rationale": "x", **said, "score": 3, "overall": False, **more}


def test_json_is_read_in_prose_and_checked():
    assert parse_assessment(f"Here: {json.dumps(answer())} bye").score == 3
    for wrong, printed in (
        (answer(score=11), "score"),
        (answer(score="many"), "score"),
        (answer(count={"ok": "perhaps", "reason": ""}), "count.ok"),
        ({k: v for k, v in answer().items() if k != "overall"}, "overall"),
    ):
        with pytest.raises(ValueError, match=printed):
            parse_assessment(json.dumps(wrong))
    with pytest.raises(ValueError, match="no JSON object"):
        parse_assessment("{" * 5000)


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
        parse_assessment(text)


def test_the_form_of_the_prompt_is_no_assessment():
    assert parse_assessment(f"{spoken(overall=False)} in the form {json_example()}").rationale == "a disc"


def test_a_decimal_comma_is_read():
    assert parse_assessment(spoken(score="7,5")).score == 7
