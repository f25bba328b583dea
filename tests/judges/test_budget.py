"""Caps on calls and spending, and the rate of calls."""

import json
from collections import Counter

import pytest

from judges.judge import JudgeUnavailable
from judges.open_ai import OpenAIJudge
from tests.judges.fake_server import GOOD, completion, pictures


def test_impossible_token_counts_do_not_lift_the_cap(serve):
    for usage in (-(10**9), 0, "many", None):
        body = {**completion(json.dumps(GOOD)), "usage": {"prompt_tokens": usage, "completion_tokens": usage}}
        prices = {"max_spend": 0.02, "input_price": 2.0, "output_price": 10.0}
        server, judge = serve((200, {}, json.dumps(body).encode()), cache=None, **prices)
        with pytest.raises(JudgeUnavailable, match="cap on spending"):
            judge.assess(["a circle"] * 5, pictures(5))
        assert len(server.requests) == 3  # as usual answers: 0.009 each
    huge_usage = completion(json.dumps(GOOD))
    huge_usage["usage"] = {"prompt_tokens": 10**400, "completion_tokens": 10**400}
    server, judge = serve((200, {}, json.dumps(huge_usage).encode()), cache=None, **prices)
    with pytest.raises(JudgeUnavailable, match="cap on spending"):
        judge.assess(["a circle"] * 5, pictures(5))
    assert judge.budget.spent == pytest.approx(12.0)  # a million each way, and not infinite


def test_caps_on_calls_and_on_spending(serve):
    server, judge = serve(max_calls=3, cache=None)
    with pytest.raises(JudgeUnavailable, match="cap of 3 calls"):
        judge.assess(["a circle"] * 5, pictures(5))
    assert len(server.requests) == 3
    server, judge = serve(max_spend=0.005, input_price=2.0, output_price=10.0, cache=None)
    with pytest.raises(JudgeUnavailable, match="cap on spending"):
        judge.assess(["a circle"] * 5, pictures(5))
    assert len(server.requests) == 2 and judge.budget.spent == pytest.approx(0.006)  # 0.003 a call
    with pytest.raises(ValueError, match="input_price"):
        OpenAIJudge(max_spend=1.0)


def test_the_rate_is_kept_by_concurrent_calls(serve):
    server, judge = serve(calls_per_minute=1200, concurrency=8, cache=None)
    judge.assess(["a circle"] * 10, pictures(10))
    times = sorted(at for at, *_ in server.requests)
    assert times[-1] - times[0] >= 9 * 0.05 * 0.9 and Counter(
        len(r["messages"]) for _, r, _ in server.requests
    ) == {2: 10}
