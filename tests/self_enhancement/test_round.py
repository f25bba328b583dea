"""A round of self-enhancement: what it writes, and that nothing is done twice when it is cut off in any state."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from callbacks import self_enhancement
from common import files
from datamodules.decode import decode_image
from datamodules.shard import Shard
from datamodules.templates import TEMPLATES, TemplateRequest
from judges.assessment import DIMENSIONS, Assessment, Verdict, from_text
from judges.judge import Judge, JudgeUnavailable, Unjudged
from models.document import Draw, See, Text
from self_enhancement import dialogues as enhancement_dialogues
from self_enhancement import round as enhancement_round
from self_enhancement.prompts import choose_hard_negatives, read_captions
from self_enhancement.round import Round
from self_enhancement.settings import RoundSettings
from worlds.playground import shards

ROOT = Path(__file__).resolve().parents[2]


class Drawer:
    """Draws flat images whose level is the seed's."""

    def __init__(self):
        self.seeds = []

    def draw_batch(self, prompts, seeds, sampling=None):
        self.seeds += seeds
        level = torch.tensor([seed % 251 for seed in seeds], dtype=torch.uint8)
        return level[:, None, None, None].expand(-1, 3, 8, 8).contiguous()


class LevelJudge(Judge):
    """Likes even levels, has no opinion of multiples of ten, and goes away after `calls` images."""

    name = "level"

    def __init__(self, most=10**6):
        super().__init__()
        self.most, self.asked = most, []

    def assess(self, prompts, images):
        if len(self.asked) + len(images) > self.most:
            raise JudgeUnavailable("the judge is gone")
        levels = images[:, 0, 0, 0].tolist()
        self.asked += levels
        return [Unjudged("ten") if level % 10 == 0 else opinion(level) for level in levels]


def opinion(level):
    ok = level % 2 == 0
    verdicts = {d.name: Verdict(ok=ok, reason="" if ok else "odd") for d in DIMENSIONS}
    return Assessment(rationale=f"level {level}", verdicts=verdicts, score=level % 5 + 5 * ok, overall=ok)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    shards.main(["--out", str(folder), "--scale", "0.002", "--workers", "1", "--only", "pairs"])
    return str(folder / "pairs")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(enhancement_round, "BATCH", 8)
    monkeypatch.setattr(enhancement_dialogues, "SHARD_SAMPLES", 16)


def done(folder, settings, model=None, judge=None):
    one = Round(folder, settings)
    one.make_plan("weights", "level")
    one.draw(model or Drawer())
    one.judge(judge or LevelJudge())
    return one, one.write()


def documents(one):
    for path in one.shards:
        shard = Shard(path)
        for number in range(len(shard)):
            sample = shard.read(number)
            yield TEMPLATES["document"](TemplateRequest(sample, 48)), sample


def content(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_good_drawings_are_assessed_and_bad_ones_drawn_again(tmp_path, pairs):
    settings = RoundSettings((pairs,), count=40, good_score=6)
    one, summary = done(tmp_path / "round", settings)
    good = one.verdicts()
    found = list(documents(one))
    assert summary["good"] == good.count(True) > 5 and summary["bad"] == good.count(False) > 5
    assert summary["unjudged"] == good.count(None) > 0 and summary["dialogues"] == len(found)
    assert summary["second_turns"] == good.count(False) and set(summary["wrong"]) == {
        d.name for d in DIMENSIONS
    }
    judged = [i for i, g in enumerate(good) if g is not None]
    truths = [row[1:] for row in json.loads((tmp_path / "round/plan.json").read_text())["chosen"]]
    for i, (document, _) in zip(judged, found, strict=True):
        seen, asked, said, *again = document
        assert isinstance(seen, See) and torch.equal(seen.image[:, ::6, ::6], one.drawings()[i])
        assert asked == Text(f"does the image show : {one.prompts()[i]} ?") and said.learn
        assert from_text(said.text).rationale == f"level {int(seen.image[0, 0, 0])}"
        assert [type(part) for part in again] == ([] if good[i] else [Text, Draw])
        if again:
            assert again[0] == Text(f"draw it again : {one.prompts()[i]}")
            place, number = truths[i]
            assert torch.equal(again[1].image, decode_image(Shard(place).read(number)["png"], 48))
    assert len(one.shards) == -(-len(found) // 16)


def test_a_round_of_another_number_draws_other_prompts_from_other_seeds(tmp_path, pairs):
    settings = RoundSettings((pairs,), count=40)
    first, second = Drawer(), Drawer()
    for number, drawer in ((1, first), (2, second)):
        one = Round(tmp_path / str(number), settings, number)
        one.make_plan("w", "level")
        one.draw(drawer)
    plans = [json.loads((tmp_path / n / "plan.json").read_text())["chosen"] for n in "12"]
    assert plans[0] != plans[1] and not set(first.seeds) & set(second.seeds)
    assert len({tuple(row[1:]) for row in plans[0]}) == 40  # no image twice


def test_plain_pairs_hold_the_same_targets_without_words(tmp_path, pairs):
    dialogues, _ = done(tmp_path / "a", RoundSettings((pairs,), count=40))
    plain, summary = done(tmp_path / "b", RoundSettings((pairs,), count=40, form="pairs"))
    wanted = [sample["1.png"] for document, sample in documents(dialogues) if "1.png" in sample]
    found = list(documents(plain))
    assert [sample["0.png"] for _, sample in found] == wanted and summary["second_turns"] == 0
    assert all([type(p) for p in document] == [Text, Draw] and not document[0].learn for document, _ in found)


def test_the_best_of_its_own_drawings_as_the_target(tmp_path, pairs):
    one, _ = done(tmp_path / "round", RoundSettings((pairs,), count=40, draws=4, target="own", good_score=6))
    good, opinions, images = one.verdicts(), one.opinions(), one.drawings()
    prompts = one.prompts()
    assert all(len(set(prompts[i : i + 4])) == 1 for i in range(0, 40, 4))
    targets = 0
    kept = [i for i, g in enumerate(good) if g is not None]
    for i, (document, _) in zip(kept, documents(one), strict=True):
        group = [j for j in range(i // 4 * 4, i // 4 * 4 + 4) if good[j]]
        assert (len(document) == 5) == (good[i] is False and bool(group))
        if len(document) == 5:
            best = max(group, key=lambda j: opinions[j].score)
            assert torch.equal(document[-1].image[:, ::6, ::6], images[best])
            targets += 1
    assert targets


@pytest.mark.parametrize("share", [0.5, 0.8, 1.0])
def test_the_share_of_bad_ones(tmp_path, pairs, share):
    _, summary = done(tmp_path / "round", RoundSettings((pairs,), count=96, bad_share=share))
    assert summary["second_turns"] / summary["dialogues"] == pytest.approx(share, abs=0.03)
    assert summary["dialogues"] >= 20


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


def test_cut_off_in_any_state_it_gives_what_it_would_have_given(tmp_path, pairs, monkeypatch):
    settings = RoundSettings((pairs,), count=40)
    whole = tmp_path / "whole"
    done(whole, settings)
    with monkeypatch.context() as patch:
        deaths, drawer, judge, _ = cuts(tmp_path / "cut", settings, patch)
    assert content(tmp_path / "cut") == content(whole)
    assert deaths == 1 + 5 + 5 + 1 + 1  # plan, drawings, opinions, shards, summary
    assert (
        len(drawer.seeds) == 80 and len(judge.asked) == 80
    )  # each batch was lost once, with the file that died


def test_a_judge_that_goes_away_keeps_the_round(tmp_path, pairs):
    settings = RoundSettings((pairs,), count=40)
    drawer, judge = Drawer(), LevelJudge(most=20)
    with pytest.raises(JudgeUnavailable):
        done(tmp_path / "round", settings, drawer, judge)
    one = Round(tmp_path / "round", settings)
    assert one.drawn and not one.done and len(judge.asked) == 16
    later = LevelJudge()
    done(tmp_path / "round", settings, drawer, later)
    assert len(later.asked) == 24 and len(drawer.seeds) == 40


def test_ranks_share_the_work(tmp_path, pairs):
    settings = RoundSettings((pairs,), count=40)
    whole, _ = done(tmp_path / "one", settings)
    Round(tmp_path / "two", settings).make_plan("weights", "level")
    drawers = [Drawer(), Drawer()]
    for rank in (1, 0):
        one = Round(tmp_path / "two", settings, 1, rank, 2)
        one.draw(drawers[rank])
        one.judge(LevelJudge())
    one.write()
    assert content(tmp_path / "two") == content(tmp_path / "one")
    assert [len(drawer.seeds) for drawer in drawers] == [24, 16]


def test_one_verdict_only_is_warned_of(tmp_path, pairs, caplog):
    class Harsh(LevelJudge):
        def assess(self, prompts, images):
            return [opinion(1) for _ in prompts]

    done(tmp_path / "round", RoundSettings((pairs,), count=8, bad_share=0.5), judge=Harsh())
    assert "all 8 verdicts are bad" in caplog.text


def test_settings_and_folders_that_do_not_fit_are_refused(tmp_path, pairs):
    for wrong in (
        {"count": 10, "draws": 3},
        {"target": "own"},
        {"bad_share": 0.0},
        {"count": 0},
        {"hard_negatives": -1},
    ):
        with pytest.raises(ValueError):
            RoundSettings((pairs,), **wrong)
    done(tmp_path / "round", RoundSettings((pairs,), count=8))
    with pytest.raises(ValueError, match="another settings"):
        Round(tmp_path / "round", RoundSettings((pairs,), count=16)).make_plan("weights", "level")
    with pytest.raises(ValueError, match="another model"):
        Round(tmp_path / "round", RoundSettings((pairs,), count=8)).make_plan("others", "level")
    with pytest.raises(ValueError, match="captions with images"):
        Round(tmp_path / "more", RoundSettings((pairs,), count=10**5)).make_plan("weights", "level")


def test_a_round_of_which_nothing_was_judged_teaches_nothing(tmp_path, pairs, caplog):
    one, summary = done(tmp_path / "none", RoundSettings((pairs,), count=8), judge=Silent())
    assert summary["dialogues"] == 0 and one.shards == [] and "not one dialogue" in caplog.text


def test_prompts_come_from_every_shard_that_can_be_read(tmp_path, pairs, caplog):
    (tmp_path / "few").mkdir()
    (shard,) = Path(pairs).glob("*.tar")
    (tmp_path / "few/a.tar").write_bytes(shard.read_bytes())
    (tmp_path / "few/b.tar").write_bytes(b"no tar at all" * 100)
    (tmp_path / "few/c.tar").write_bytes(shard.read_bytes())
    for number in range(1, 5):
        one = Round(tmp_path / str(number), RoundSettings((str(tmp_path / "few"),), count=150), number)
        one.make_plan("weights", "level")  # 120 in each of two
        places = [row[1:] for row in json.loads((one.folder / "plan.json").read_text())["chosen"]]
        assert len({tuple(place) for place in places}) == 150
    assert "no prompts from" in caplog.text


class Silent(LevelJudge):
    def assess(self, prompts, images):
        return [Unjudged("no") for _ in prompts]


@pytest.mark.slow
def test_a_killed_process_goes_on(tmp_path, pairs):
    """kill -9 on the command line, once while it draws and once while it judges."""
    model = ROOT / "pretrained" / "playground"
    words = [sys.executable, "-m", "callbacks.self_enhancement", "--model", str(model), "--prompts", pairs]
    words += ["--count", "100", "--out"]
    monkey = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*words, str(tmp_path / "whole")], cwd=ROOT, env=monkey, check=True, capture_output=True)
    for until in ("plan.json", "drawn/00000.npy"):
        with subprocess.Popen(
            [*words, str(tmp_path / "cut")], cwd=ROOT, env=monkey, stderr=subprocess.DEVNULL
        ) as run:
            deadline = time.monotonic() + 120
            while not (tmp_path / "cut" / until).is_file() and run.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.002)
            run.send_signal(signal.SIGKILL)
    subprocess.run([*words, str(tmp_path / "cut")], cwd=ROOT, env=monkey, check=True, capture_output=True)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    drawn = np.load(tmp_path / "whole/drawn/00000.npy")
    assert drawn.shape == (100, 3, 48, 48)


def test_a_judge_without_a_key_is_told_before_anything_is_drawn(tmp_path, pairs, monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (tmp_path / "judge.yaml").write_text("class_path: judges.open_ai.OpenAIJudge\n")
    words = ["--model", str(tmp_path), "--prompts", pairs, "--out", str(tmp_path / "round")]
    with pytest.raises(SystemExit) as stop:
        self_enhancement.main([*words, "--judge", str(tmp_path / "judge.yaml")])
    assert stop.value.code == 2 and "no key in the environment variable" in capsys.readouterr().err
    assert not (tmp_path / "round").exists()


CAPTIONS = [
    "two red circles",
    "three red circles",
    "two red stars",
    "two blue stars",
    "a green ring",
    "a ring",
]


def test_contrasts_differ_in_one_word_each_in_another():
    places = Counter()
    for seed in range(20):
        (found,) = choose_hard_negatives(["two red circles"], CAPTIONS, 2, random.Random(seed))
        assert sorted(found) == ["three red circles", "two red stars"]
        ((one,),) = choose_hard_negatives(["two red circles"], CAPTIONS, 1, random.Random(seed))
        places[one] += 1
    assert min(places[c] for c in ("three red circles", "two red stars")) > 3, "each place has its turn"


def test_where_none_differs_in_one_word_contrasts_share_the_most():
    for seed in range(20):
        (found,) = choose_hard_negatives(["a green star"], CAPTIONS, 2, random.Random(seed))
        assert found == ["a green ring", "a ring"]  # one word apart; and the nearest of the others
    long = " ".join(["word"] * 40)
    (found,) = choose_hard_negatives([f"{long} red"], [f"{long} blue", "a ring"], 1, random.Random(0))
    assert found == [f"{long} blue"]
    assert choose_hard_negatives(["a red circle"] * 2, CAPTIONS, 0, random.Random(0)) == [[], []]
    with pytest.raises(ValueError, match="too few"):
        choose_hard_negatives(["a"], ["a", "b", "a"], 2, random.Random(0))


def test_contrasts_are_captions_of_the_shards_and_no_others(tmp_path, pairs, caplog):
    known = read_captions((pairs,), random.Random(0))
    shard = Shard(next(Path(pairs).glob("*.tar")))
    assert set(known) == {shard.read(i)["txt"].decode().strip() for i in range(len(shard))} and len(known) > 9
    one = Round(tmp_path / "round", RoundSettings((pairs,), count=16, hard_negatives=2))
    one.make_plan("weights", "level")
    chosen = json.loads((tmp_path / "round" / "plan.json").read_text())["hard_negatives"]
    assert len(chosen) == 16 and {len(set(of)) for of in chosen} == {2}
    assert all(set(of) <= set(known) - {prompt} for of, prompt in zip(chosen, one.prompts(), strict=True))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.tar").write_bytes(b"no tar")
    assert read_captions((pairs, str(broken)), random.Random(0)) == known and "no prompts from" in caplog.text
    assert len(read_captions((pairs, pairs), random.Random(0), enough=1)) == len(known)


def test_each_drawing_is_held_against_other_captions_as_well(tmp_path, pairs):
    judge = LevelJudge()
    one = Round(tmp_path / "round", RoundSettings((pairs,), count=40, hard_negatives=2))
    one.make_plan("weights", judge.name)
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


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_no_more_is_drawn_at_once_than_asked_for_and_the_drawings_are_the_same(tmp_path, pairs, at_once):
    sizes, usual = [], Drawer()

    class Counted(Drawer):
        def draw_batch(self, prompts, seeds, sampling=None):
            sizes.append(len(seeds))
            return super().draw_batch(prompts, seeds, sampling)

    settings = RoundSettings((pairs,), count=12)
    one = Round(tmp_path / "few", settings, at_once=at_once)
    one.make_plan("weights", "level")
    one.draw(Counted())
    other = Round(tmp_path / "usual", settings)
    other.make_plan("weights", "level")
    other.draw(usual)
    assert max(sizes) == min(8, at_once) and torch.equal(one.drawings(), other.drawings())
    with pytest.raises(ValueError, match="at least 1 drawing at once, not 0"):
        Round(tmp_path / "none", settings, at_once=0)


def test_texts_are_as_long_as_a_row_has_room_for_and_what_is_shortened_is_counted(tmp_path, pairs):
    class Wordy(LevelJudge):
        def assess(self, prompts, images):
            said = super().assess(prompts, images)
            long = {"rationale": " ".join(f"word{i}" for i in range(200))}
            return [o if isinstance(o, Unjudged) else o.model_copy(update=long) for o in said]

    def length(document):
        return 10 + sum(len(part.text.split()) for part in document if isinstance(part, Text))

    found = {}
    for row in (None, 400, 150, 20):
        one = Round(tmp_path / f"round-{row}", RoundSettings((pairs,), count=16))
        one.make_plan("weights", "level")
        one.draw(Drawer())
        one.judge(Wordy())
        summary = one.write() if row is None else one.write(length, row)
        said = [document for document, _ in documents(one)] if summary["dialogues"] else []
        words = [len(from_text(document[2].text).rationale.split()) for document in said]
        assert row is None or all(length(document) <= row for document in said)
        found[row] = summary, words
    judged = found[None][0]["dialogues"]
    assert judged > 5
    for row in (None, 400):  # no letter is lost where there is room
        assert found[row][1] == [200] * judged
        assert found[row][0]["shortened"] == found[row][0]["left_out"] == 0
    summary, words = found[150]
    assert summary["shortened"] == judged == len(words) and all(40 < count < 200 for count in words)
    assert found[20][0]["left_out"] == judged and found[20][0]["dialogues"] == 0


def test_the_command_line_takes_a_device_and_sizes(tmp_path, pairs, capsys):
    given = ["--model", "pretrained/playground", "--prompts", pairs, "--out", str(tmp_path / "out")]
    for option, value, line in (
        ("--device", "cuda:7", "--device cuda:7: this machine has no CUDA device"),
        ("--at-once", "0", "--at-once 0: give a whole number from 1"),
        ("--sequence-length", "0", "--sequence-length 0: give a whole number from 1"),
    ):
        with pytest.raises(SystemExit) as stop:
            self_enhancement.main([*given, option, value])
        assert stop.value.code == 2 and line in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
