"""Errors of a server: what is tried again, what is rejected, what is refused."""

import json

import pytest

from judges.assessment import Assessment
from judges.ensemble import EnsembleJudge
from judges.judge import JudgeRefused, JudgeUnavailable, Unjudged
from tests.judges.fake_server import CUT, GONE, GOOD, KEY, STALL, ok, pictures


@pytest.mark.parametrize(
    "trouble",
    [
        (429, {}, b"{}"),
        (500, {}, b"{}"),
        (503, {}, b"<html>busy</html>"),
        (200, {"x": CUT}, b'{"id": "1", "choi'),
        (200, {}, b"not json at all"),
        (200, {}, b'{"choices": []}'),
        (200, {}, b'{"choices": [{}]}'),
        (200, {}, b'{"choices": ["x"], "usage": {"prompt_tokens": null}}'),
        ok({"role": "assistant", "content": [1, 2]}),
        (200, {}, GONE),
        (200, {}, STALL),
        ok("{ this is not json"),
        ok(json.dumps({**GOOD, "score": 11})),
        ok(json.dumps({**GOOD, "score": -1})),
        ok(json.dumps({k: v for k, v in GOOD.items() if k != "count"})),
        ok(json.dumps({**GOOD, "object": "yes"})),
        ok(""),
    ],
    ids=lambda trouble: str(trouble[2])[:24],
)
def test_failed_calls_are_tried_again(serve, trouble):
    server, judge = serve(trouble, ok(), timeout=0.5)
    (opinion,) = judge.assess(["a circle"], pictures(1))
    assert isinstance(opinion, Assessment) and len(server.requests) == 2


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("Unsupported value: 'temperature' does not support 0 with this model.", "set temperature: null"),
        ("This response_format type is unavailable now", "set response_format: json_object, or none"),
    ],
)
def test_a_rejected_field_is_answered_by_what_to_set(serve, message, advice):
    server, judge = serve((400, {}, json.dumps({"error": {"message": message}}).encode()))
    with pytest.raises(JudgeRefused, match=advice):
        judge.assess(["a circle"] * 3, pictures(3))
    assert len(server.requests) == 1


def test_redirects_are_not_followed(serve):
    other, _ = serve()
    target = f"{other.url.replace('127.0.0.1', 'localhost')}/chat/completions?k=secret"
    server, judge = serve((307, {"location": target}, b""))
    with pytest.raises(JudgeRefused, match="redirects to http://localhost") as error:
        judge.assess(["a circle"], pictures(1))
    assert not other.requests and "secret" not in str(error.value)


def test_a_redirect_within_the_server_is_named_with_its_host(serve):
    server, judge = serve((302, {"location": "/login?next=%2Fv1"}, b""))
    with pytest.raises(JudgeRefused, match="redirects to http://127.0.0.1:[0-9]+/login, "):
        judge.assess(["a circle"], pictures(1))


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_stops_at_once_and_is_shown_nowhere(serve, status, tmp_path):
    server, judge = serve(ok(), (status, {}, json.dumps({"error": {"message": f"bad key {KEY}"}}).encode()))
    with pytest.raises(JudgeRefused, match="OPENAI_API_KEY") as error:
        judge.assess(["a circle"] * 5, pictures(5))
    assert len(server.requests) == 2 and KEY not in str(error.value)
    kept = [path.read_text() for path in tmp_path.rglob("*.json")]
    assert len(kept) == 1 and KEY not in "".join(kept)


def test_a_missing_key_is_an_error_before_any_call(serve, monkeypatch):
    server, judge = serve()
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(JudgeRefused, match="no key in the environment variable OPENAI_API_KEY"):
        judge.assess(["a circle"], pictures(1))
    with pytest.raises(JudgeRefused, match="no key in the environment variable OPENAI_API_KEY"):
        EnsembleJudge([judge]).check()
    assert not server.requests


def test_a_server_out_of_credit_loses_nothing(serve):
    server, judge = serve(ok(), (402, {}, b'{"error": {"message": "pay"}}'))
    with pytest.raises(JudgeUnavailable, match="pay"):
        judge.assess(["a circle"] * 4, pictures(4))
    server.script = [ok()]
    assert all(isinstance(opinion, Assessment) for opinion in judge.assess(["a circle"] * 4, pictures(4)))


def test_a_server_that_rejects_everything_stops_the_judge(serve):
    server, judge = serve((404, {}, b'{"error": {"message": "no such model"}}'))
    with pytest.raises(JudgeRefused, match="no such model"):
        judge.assess(["a circle"] * 3, pictures(3))
    assert len(server.requests) == 1
    server, judge = serve((400, {}, b'{"error": {"message": "no schema"}}'), cache=None)
    with pytest.raises(JudgeRefused, match="no schema"):
        judge.assess(["a circle"] * 9, pictures(9))
    assert len(server.requests) == 2
    server, judge = serve((400, {}, b"{}"), ok(), cache=None)
    assert [isinstance(o, Unjudged) for o in judge.assess(["a circle"] * 3, pictures(3))] == [
        True,
        False,
        False,
    ]
    server, judge = serve(ok(), (400, {}, b'{"error": {"message": "policy"}}'), ok(), cache=None)
    opinions = judge.assess(["a circle"] * 3, pictures(3))
    assert [isinstance(opinion, Unjudged) for opinion in opinions] == [False, True, False]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"choices": [{"finish_reason": "stop"}]}, "holds no message"),
        ({"choices": [{"message": None}]}, "holds no message"),
        ({"choices": [{"message": "text"}]}, "holds no message"),
        ({"choices": [{"text": json.dumps(GOOD)}]}, "holds no message"),
        ({"choices": {"0": {}}}, "no choices"),
        ({"choices": "abc"}, "no choices"),
    ],
    ids=str,
)
def test_a_body_without_a_message_is_named(serve, body, said):
    server, judge = serve((200, {}, json.dumps(body).encode()), tries=1)
    with pytest.raises(JudgeUnavailable, match=said):
        judge.assess(["a circle"], pictures(1))
