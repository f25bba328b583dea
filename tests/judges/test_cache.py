"""Opinions on disk."""

import pytest

from judges.assessment import Assessment, Dimension
from judges.judge import JudgeUnavailable, Unjudged
from judges.open_ai import OpenAIJudge
from tests.judges.fake_server import GONE, ok, pictures


def test_cached_opinions_cost_no_call(serve):
    server, judge = serve()
    judge.assess(["a circle"] * 2, pictures(2))
    judge.assess(["a circle"] * 2, pictures(2))
    assert len(server.requests) == 2
    judge.assess(["a star"], pictures(1))
    assert len(server.requests) == 3  # the same picture for another prompt


def test_other_dimensions_do_not_share_a_cache(serve):
    server, judge = serve()
    judge.assess(["a circle"], pictures(1))
    style = Dimension(name="style", question="Is it a photograph?")
    other = OpenAIJudge("m", server.url, cache=str(judge.opinions.folder), dimensions=(style,), tries=1)
    assert isinstance(other.assess(["a circle"], pictures(1))[0], Unjudged)  # the old answer has no style
    assert len(server.requests) == 2


def test_opinions_are_kept_when_the_server_dies(serve, tmp_path):
    server, judge = serve(ok(), ok(), (200, {}, GONE))
    with pytest.raises(JudgeUnavailable, match="its opinions so far are kept"):
        judge.assess(["a circle"] * 5, pictures(5))
    assert len(list(tmp_path.rglob("*.json"))) == 2
    server.script = [ok()]
    before = len(server.requests)
    assert all(isinstance(opinion, Assessment) for opinion in judge.assess(["a circle"] * 5, pictures(5)))
    assert len(server.requests) - before == 3  # not the two that were paid for


def test_an_impossible_cache_is_an_error_before_any_call(serve, tmp_path):
    (tmp_path / "file").write_text("")
    server, judge = serve(cache=str(tmp_path / "file"))
    with pytest.raises(OSError, match="file"):
        judge.check()
    assert not server.requests
