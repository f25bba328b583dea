"""Hard negatives of captions."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from datamodules.shard import Shard
from self_enhancement.hard_negatives import choose_hard_negatives
from self_enhancement.prompts import read_captions
from self_enhancement.round import Round
from self_enhancement.settings import RoundSettings

CAPTIONS = [
    "two red circles",
    "three red circles",
    "two red stars",
    "two blue stars",
    "a green ring",
    "a ring",
]


def test_hard_negatives_differ_in_one_word_each_at_another_position():
    places = Counter()
    for seed in range(20):
        (found,) = choose_hard_negatives(["two red circles"], CAPTIONS, 2, random.Random(seed))
        assert sorted(found) == ["three red circles", "two red stars"]
        ((one,),) = choose_hard_negatives(["two red circles"], CAPTIONS, 1, random.Random(seed))
        places[one] += 1
    assert min(places[c] for c in ("three red circles", "two red stars")) > 3, "each place has its turn"


def test_otherwise_hard_negatives_share_the_most_words():
    for seed in range(20):
        (found,) = choose_hard_negatives(["a green star"], CAPTIONS, 2, random.Random(seed))
        assert found == ["a green ring", "a ring"]  # one word apart; and the nearest of the others
    long = " ".join(["word"] * 40)
    (found,) = choose_hard_negatives([f"{long} red"], [f"{long} blue", "a ring"], 1, random.Random(0))
    assert found == [f"{long} blue"]
    assert choose_hard_negatives(["a red circle"] * 2, CAPTIONS, 0, random.Random(0)) == [[], []]
    with pytest.raises(ValueError, match="too few"):
        choose_hard_negatives(["a"], ["a", "b", "a"], 2, random.Random(0))


def test_hard_negatives_are_captions_of_the_shards(tmp_path, pairs, caplog):
    known = read_captions(pairs, random.Random(0))
    shard = Shard(next(Path(pairs).glob("*.tar")))
    assert set(known) == {shard.read(i)["txt"].decode().strip() for i in range(len(shard))} and len(known) > 9
    one = Round(tmp_path / "round", RoundSettings(pairs, count=16, hard_negatives=2))
    one.start("weights", "level")
    chosen = json.loads((tmp_path / "round" / "round.json").read_text())["hard_negatives"]
    assert len(chosen) == 16 and {len(set(of)) for of in chosen} == {2}
    assert all(set(of) <= set(known) - {prompt} for of, prompt in zip(chosen, one.prompts(), strict=True))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.tar").write_bytes(b"no tar")
    assert read_captions((pairs, str(broken)), random.Random(0)) == known and "no prompts from" in caplog.text
    assert len(read_captions((pairs, pairs), random.Random(0), limit=1)) == len(known)
