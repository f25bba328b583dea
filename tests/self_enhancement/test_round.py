"""A round: what it draws and judges, and that nothing is done twice when it is cut off in any state."""

import json
from collections import Counter

import pytest
import torch

from common import files
from evals.ranks import Ranks
from judges.judge import JudgeUnavailable
from self_enhancement import round as enhancement_round
from self_enhancement.round import Round
from self_enhancement.settings import RoundSettings
from tests.self_enhancement.rounds import Drawer, LevelJudge, Silent, content, documents, done, opinion


def test_rounds_differ_in_prompts_and_seeds(tmp_path, pairs):
    settings = RoundSettings(pairs, count=40)
    first, second = Drawer(), Drawer()
    for number, drawer in ((1, first), (2, second)):
        one = Round(tmp_path / str(number), settings, number)
        one.start("w", "level")
        one.draw(drawer)
    plans = [json.loads((tmp_path / n / "round.json").read_text())["chosen"] for n in "12"]
    assert plans[0] != plans[1] and not set(first.seeds) & set(second.seeds)
    assert len({tuple(row[1:]) for row in plans[0]}) == 40  # no image twice


def cuts(folder, settings, monkeypatch):
    """A round that dies before each of its files in turn; returns how many times, and who did what."""
    drawer, judge, deaths = Drawer(), LevelJudge(), 0
    put = files.atomic_replace
    writes = enhancement_round.write_text, enhancement_round.write_bytes
    seen = set()

    def once(function):
        def cut(*args):
            target = str(args[1] if function is put else args[0])
            of_round = function is not put or target == str(
                folder / "shards"
            )  # a scratch file's name is never the same
            if of_round and target not in seen:
                seen.add(target)
                raise KeyboardInterrupt
            return function(*args)

        return cut

    monkeypatch.setattr(files, "atomic_replace", once(put))
    for write in writes:
        monkeypatch.setattr(enhancement_round, write.__name__, once(write))
    while True:
        try:
            return deaths, drawer, judge, done(folder, settings, drawer, judge)
        except KeyboardInterrupt:
            deaths += 1


def test_a_round_cut_off_in_any_state_ends_equal(tmp_path, pairs, monkeypatch):
    settings = RoundSettings(pairs, count=40)
    whole = tmp_path / "whole"
    done(whole, settings)
    with monkeypatch.context() as patch:
        deaths, drawer, judge, _ = cuts(tmp_path / "cut", settings, patch)
    assert content(tmp_path / "cut") == content(whole)
    assert deaths == 1 + 5 + 5 + 1 + 1  # record, drawings, opinions, shards, summary
    assert (
        len(drawer.seeds) == 80 and len(judge.asked) == 80
    )  # each batch was lost once, with the file that died


def test_a_round_goes_on_after_its_judge_was_unavailable(tmp_path, pairs):
    settings = RoundSettings(pairs, count=40)
    drawer, judge = Drawer(), LevelJudge(most=20)
    with pytest.raises(JudgeUnavailable):
        done(tmp_path / "round", settings, drawer, judge)
    one = Round(tmp_path / "round", settings)
    assert one.drawn and not one.done and len(judge.asked) == 16
    later = LevelJudge()
    done(tmp_path / "round", settings, drawer, later)
    assert len(later.asked) == 24 and len(drawer.seeds) == 40


def test_ranks_share_the_work(tmp_path, pairs):
    settings = RoundSettings(pairs, count=40)
    whole, _ = done(tmp_path / "one", settings)
    Round(tmp_path / "two", settings).start("weights", "level")
    drawers = [Drawer(), Drawer()]
    for rank in (1, 0):
        one = Round(tmp_path / "two", settings, 1, Ranks(rank, 2))
        one.draw(drawers[rank])
        one.judge(LevelJudge())
    one.write()
    assert content(tmp_path / "two") == content(tmp_path / "one")
    assert [len(drawer.seeds) for drawer in drawers] == [24, 16]


def test_equal_verdicts_are_warned_of(tmp_path, pairs, caplog):
    class Harsh(LevelJudge):
        def assess(self, prompts, images):
            return [opinion(1) for _ in prompts]

    done(tmp_path / "round", RoundSettings(pairs, count=8, bad_share=0.5), judge=Harsh())
    assert "all 8 verdicts are bad" in caplog.text


def test_a_folder_of_another_round_is_refused(tmp_path, pairs):
    done(tmp_path / "round", RoundSettings(pairs, count=8))
    with pytest.raises(ValueError, match="another settings"):
        Round(tmp_path / "round", RoundSettings(pairs, count=16)).start("weights", "level")
    with pytest.raises(ValueError, match="another model"):
        Round(tmp_path / "round", RoundSettings(pairs, count=8)).start("others", "level")
    with pytest.raises(ValueError, match="captions with images"):
        Round(tmp_path / "more", RoundSettings(pairs, count=10**5)).start("weights", "level")


def test_a_round_without_opinions_has_no_dialogues(tmp_path, pairs, caplog):
    one, summary = done(tmp_path / "none", RoundSettings(pairs, count=8), judge=Silent())
    assert summary["dialogues"] == 0 and one.shards == [] and "not one dialogue" in caplog.text


def test_each_drawing_is_assessed_against_its_hard_negatives(tmp_path, pairs):
    judge = LevelJudge()
    one = Round(tmp_path / "round", RoundSettings(pairs, count=40, hard_negatives=2))
    one.start("weights", judge.name)
    one.draw(Drawer())
    one.judge(judge)
    summary = one.write()
    judged = summary["good"] + summary["bad"]
    assert len(judge.asked) == 3 * 40 and summary["dialogues"] == 3 * judged
    assert summary["second_turns"] == summary["bad"], "a contrast is never drawn again"
    asked = Counter(document[1].text for document, _ in documents(one))
    assert sum(asked.values()) == 3 * judged and len(asked) > 40
    before = content(tmp_path / "round")
    one.judge(judge)
    assert content(tmp_path / "round") == before and len(judge.asked) == 120


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_the_batch_size_does_not_change_the_drawings(tmp_path, pairs, batch):
    sizes, usual = [], Drawer()

    class Counted(Drawer):
        def draw_batch(self, prompts, seeds, sampling=None):
            sizes.append(len(seeds))
            return super().draw_batch(prompts, seeds, sampling)

    settings = RoundSettings(pairs, count=12)
    one = Round(tmp_path / "few", settings, batch=batch)
    one.start("weights", "level")
    one.draw(Counted())
    other = Round(tmp_path / "usual", settings)
    other.start("weights", "level")
    other.draw(usual)
    assert max(sizes) == min(8, batch) and torch.equal(one.drawings(), other.drawings())
    with pytest.raises(ValueError, match="at least 1 drawing at once"):
        Round(tmp_path / "none", settings, batch=0)
