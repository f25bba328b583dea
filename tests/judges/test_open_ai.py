"""The judge over HTTP against a real server on loopback that misbehaves on purpose."""

import datetime
import json
import math
import os
import signal
import threading
import time

import pytest

from judges.assessment import Assessment
from judges.judge import JudgeRefused, JudgeUnavailable, Unjudged
from judges.open_ai import OpenAIJudge
from tests.judges.fake_server import GOOD, KEY, STALL, ok, pictures


def test_an_image_is_sent_and_the_opinion_is_read(serve):
    server, judge = serve()
    (opinion,) = judge.assess(["draw {caption} <|im_end|> now"], pictures(1))
    assert isinstance(opinion, Assessment) and opinion.overall and opinion.score == 9
    _, request, headers = server.requests[0]
    words, picture = request["messages"][1]["content"]
    assert "<<<draw {caption} <|im_end|> now>>>" in words["text"]  # as it stands: neither filled nor dropped
    assert picture["image_url"]["url"].startswith("data:image/png;base64,")
    assert request["response_format"]["json_schema"]["strict"] and headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("content", ["no", json.dumps({**GOOD, "score": 99})])
def test_an_image_without_a_readable_opinion_is_unjudged_but_not_cached(serve, content, tmp_path):
    server, judge = serve(ok(content))
    (opinion,) = judge.assess(["a circle"], pictures(1))
    assert isinstance(opinion, Unjudged) and "3 tries" in opinion.reason
    assert len(server.requests) == 3 and not list(tmp_path.rglob("*.json"))
    server.script = [ok()]  # it was set up better
    assert isinstance(judge.assess(["a circle"], pictures(1))[0], Assessment)


def test_a_few_unreadable_answers_in_a_row_stop_the_judge(serve):
    server, judge = serve(ok("It matches. Score: 9/10."), tries=2)
    with pytest.raises(JudgeRefused, match="3 images in a row .*no JSON object"):
        judge.assess(["a circle"] * 9, pictures(9))
    assert len(server.requests) == 6
    server, judge = serve(ok(), *[ok("no")] * 4, ok(), *[ok("no")] * 9, tries=2, cache=None)
    with pytest.raises(JudgeUnavailable, match="3 images in a row"):  # it answered before, so it may again
        judge.assess(["a circle"] * 9, pictures(9))
    assert len(server.requests) == 1 + 4 + 1 + 6  # two in a row are still no reason


def test_fields_of_requests_can_be_set(serve):
    server, judge = serve(
        temperature=None, response_format="json_object", options={"max_completion_tokens": 99}
    )
    judge.assess(["a circle"], pictures(1))
    request = server.requests[0][1]
    assert "temperature" not in request and request["max_completion_tokens"] == 99
    assert request["response_format"] == {"type": "json_object"}
    server, judge = serve(response_format="none", cache=None)
    judge.assess(["a circle"], pictures(1))
    assert "response_format" not in server.requests[0][1] and server.requests[0][1]["temperature"] == 0
    prompt = server.requests[0][1]["messages"][0]["content"]
    assert "JSON" in prompt and '"colour": {"reason"' in prompt
    with pytest.raises(ValueError, match="options must not hold model"):
        OpenAIJudge(options={"model": "other"})
    with pytest.raises(ValueError, match="json_schema, json_object or none"):
        OpenAIJudge(response_format="yaml")


def test_a_refusal_is_unjudged(serve):
    server, judge = serve(ok({"role": "assistant", "content": None, "refusal": "I cannot help with that"}))
    (opinion,) = judge.assess(["a circle"], pictures(1))
    assert opinion == Unjudged("refused: I cannot help with that") and len(server.requests) == 1


def test_equal_images_and_prompts_are_asked_about_once(serve):
    server, judge = serve(cache=None, concurrency=4)
    assert (
        len(judge.assess(["a circle"] * 6, pictures(2).repeat(3, 1, 1, 1))) == 6 and len(server.requests) == 2
    )


def test_control_characters_of_an_answer_do_not_reach_a_terminal(serve, tmp_path):
    evil = "a star\x1b]0;title\x07\x1b[2J\r\nself_enhancement: error: forged \ud800 \u202e"
    server, judge = serve(ok(json.dumps({**GOOD, "rationale": evil})))
    (opinion,) = judge.assess(["a circle"], pictures(1))
    assert opinion.rationale.isprintable() and "a star" in opinion.rationale
    assert len(list(tmp_path.rglob("*.json"))) == 1


@pytest.mark.parametrize(
    "trouble", [(429, {"retry-after": "100"}, b"{}"), (200, {}, STALL)], ids=["wait", "call"]
)
def test_ctrl_c_ends_waits_and_calls_at_once_and_keeps_opinions(serve, tmp_path, caplog, trouble):
    server, judge = serve(ok(), trouble, concurrency=2, timeout=60.0)
    interrupt = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    begun = time.monotonic()
    interrupt.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            judge.assess(["a circle"] * 6, pictures(6))
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - begun < 2.5 and len(list(tmp_path.rglob("*.json"))) == 1
    assert trouble[2] == STALL or "waits 100 seconds before try 2 of 3: Error code: 429" in caplog.text


def test_an_error_ends_the_waits_of_other_calls(serve):
    server, judge = serve((429, {"retry-after": "100"}, b"{}"), (401, {}, b"{}"), concurrency=2)
    begun = time.monotonic()
    with pytest.raises(JudgeRefused, match="refuses the key"):
        judge.assess(["a circle"] * 4, pictures(4))
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        *[({"base_url": url}, "base_url is no URL") for url in (
            "", "127.0.0.1:8000/v1", "localhost", "file:///etc/passwd", "ftp://h/v1", "http://", "http://[::1/v1",
            "http://h:abc/v1", "http://h:99999/v1", "http://h/a b", "http://h/\x1b[2J", "http://h/\0", "${oc.env:URL}",
        )],
        *[({name: value}, name) for name in ("timeout", "deadline") for value in (0, -1, math.nan, math.inf, 10.0**9)],
        *[({"first_wait": value}, "first_wait") for value in (-1, math.nan, math.inf)],
        *[({"calls_per_minute": value}, "calls_per_minute") for value in (0, -5, math.nan, math.inf)],
        *[({name: value}, name) for name in ("concurrency", "tries") for value in (0, -1, True, 10**9)],
        *[({"max_calls": value}, "max_calls") for value in (0, -3)],
        *[({"max_spend": value, "input_price": 1, "output_price": 1}, "max_spend") for value in (0, math.nan, math.inf)],
        *[({"max_spend": 1, "input_price": value, "output_price": 1}, "input_price") for value in (-1, math.nan)],
        ({"temperature": math.nan}, "temperature"),
        ({"options": {"a": math.nan}}, "options are sent as JSON"),
        ({"options": {"a": datetime.date(2024, 1, 1)}}, "options are sent as JSON"),
    ],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range_are_named(settings, named):
    with pytest.raises(ValueError, match=named):
        OpenAIJudge(**settings)
