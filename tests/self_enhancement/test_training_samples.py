"""Which drawings become dialogues, and the targets of bad ones."""

import json

import pytest
import torch

from datamodules.decode import decode_image
from datamodules.shard import Shard
from judges.assessment import DIMENSIONS, from_text
from models.document import Draw, See, Text
from self_enhancement.settings import RoundSettings
from tests.self_enhancement.rounds import documents, done


def test_good_drawings_are_assessed_and_bad_ones_redrawn(tmp_path, pairs):
    settings = RoundSettings(pairs, count=40, good_score=6)
    one, summary = done(tmp_path / "round", settings)
    good = one.verdicts(one.opinions())
    found = list(documents(one))
    assert summary["good"] == good.count(True) > 5 and summary["bad"] == good.count(False) > 5
    assert summary["unjudged"] == good.count(None) > 0 and summary["dialogues"] == len(found)
    assert summary["second_turns"] == good.count(False) and set(summary["wrong"]) == {
        d.name for d in DIMENSIONS
    }
    judged = [i for i, g in enumerate(good) if g is not None]
    truths = [row[1:] for row in json.loads((tmp_path / "round/round.json").read_text())["chosen"]]
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


def test_pairs_have_the_same_targets_without_assessments(tmp_path, pairs):
    dialogues, _ = done(tmp_path / "a", RoundSettings(pairs, count=40))
    plain, summary = done(tmp_path / "b", RoundSettings(pairs, count=40, form="pairs"))
    wanted = [sample["1.png"] for document, sample in documents(dialogues) if "1.png" in sample]
    found = list(documents(plain))
    assert [sample["0.png"] for _, sample in found] == wanted and summary["second_turns"] == 0
    assert all([type(p) for p in document] == [Text, Draw] and not document[0].learn for document, _ in found)


def test_the_best_of_its_own_drawings_as_the_target(tmp_path, pairs):
    one, _ = done(tmp_path / "round", RoundSettings(pairs, count=40, draws=4, target="own", good_score=6))
    good, opinions, images = one.verdicts(one.opinions()), one.opinions(), one.drawings()
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
def test_the_share_of_bad_drawings(tmp_path, pairs, share):
    _, summary = done(tmp_path / "round", RoundSettings(pairs, count=96, bad_share=share))
    assert summary["second_turns"] / summary["dialogues"] == pytest.approx(share, abs=0.03)
    assert summary["dialogues"] >= 20
