"""The loop: shares of the pool, and errors of ranks."""

import pytest
from torch import distributed

from datamodules.document_datamodule import SourceConfig
from judges.judge import JudgeUnavailable
from judges.scene import SceneJudge
from self_enhancement.loop import SelfEnhancementLoop, on_all_ranks
from self_enhancement.settings import RoundSettings
from tests.ranks import forked

OTHERS = {"draw": SourceConfig("pairs", "draw", 0.5), "text": SourceConfig("texts", "text", 0.25)}


def loop(dialogues, **settings):
    made = SelfEnhancementLoop(RoundSettings("pairs"), SceneJudge(), **settings)
    made.finished = [
        {"name": f"round_{i}", "shards": ["a.tar"] if count else [], "dialogues": count}
        for i, count in enumerate(dialogues)
    ]
    return made


def weights(made, others=OTHERS):
    return {name: source.weight for name, source in made.sources(others).items()}


def test_the_pool_has_its_share_of_all_documents_by_dialogues():
    found = weights(loop([100, 0, 300], share=0.2))
    assert found == pytest.approx({"round_0": 0.75 / 4 / 4, "round_2": 0.75 / 4 * 3 / 4})
    assert sum(found.values()) / (sum(found.values()) + 0.75) == pytest.approx(0.2)
    again = loop([100, 0, 300], share=0.2)
    assert weights(again, {**OTHERS, **again.sources(OTHERS)}) == found, "its own sources are not counted"


def test_the_oldest_rounds_are_dropped_beyond_the_maximum():
    found = weights(loop([100, 200, 300], share=0.5, max_dialogues=400))
    assert found == pytest.approx({"round_0": 0.0, "round_1": 0.75 / 4, "round_2": 0.75 * 3 / 4})


def test_settings_out_of_range_are_refused():
    for wrong in ({"share": 0.0}, {"share": 1.0}, {"batch": 0}):
        with pytest.raises(ValueError, match="out of range"):
            loop([], **wrong)


def fails(rank, **errors):
    """What each rank raises when the work of some fails."""

    def work():
        if error := errors.get(f"rank{rank}"):
            raise error
        return rank

    distributed.init_process_group("gloo")
    try:
        return on_all_ranks(work)
    except (ValueError, KeyError, JudgeUnavailable) as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.skipif(not distributed.is_gloo_available(), reason="needs gloo")
def test_an_error_of_one_rank_ends_the_work_of_all():
    away, bug = JudgeUnavailable("away"), KeyError("bug")
    assert forked(lambda rank: fails(rank), 2) == [0, 0]
    assert forked(lambda rank: fails(rank, rank1=away), 2) == ["JudgeUnavailable: away"] * 2
    other = "ValueError: another rank could not go on: 'bug'"
    assert forked(lambda rank: fails(rank, rank0=bug), 2) == ["KeyError: 'bug'", other]
    assert forked(lambda rank: fails(rank, rank0=away, rank1=bug), 2) == [other, "KeyError: 'bug'"]
    assert on_all_ranks(lambda: 3) == 3, "one process alone"
