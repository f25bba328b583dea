"""The stage of self-enhancement with its real config: rounds within training, cut in each of their states."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import train
from callbacks import self_enhancement
from evals.settings import PlaygroundSettings
from judges.assessment import Verdict
from judges.scene import SceneJudge
from lightning_modules.language import LanguageModule
from self_enhancement import round as enhancement_round
from self_enhancement.round import Round
from self_enhancement.settings import RoundSettings
from tests.chain import arguments, rows, small_evaluation, world
from tests.cut_off import cut_off

__all__ = ["small_evaluation", "world"]
SHIPPED = Path(train.__file__).parent / "pretrained" / "playground"
CORRECT, WRONG = {"overall": True, "score": 10}, {"overall": False, "score": 2}


@pytest.fixture(autouse=True)
def predecessor(world, monkeypatch):
    """The shipped model in the place of stage 3's."""
    monkeypatch.chdir(world)
    model = Path("runs/playground/stage3/model")
    if not model.exists():
        model.parent.mkdir(parents=True)
        model.symlink_to(SHIPPED)


@pytest.fixture
def few_drawings(monkeypatch):
    """Rounds of eight drawings, in two batches; of two drawings the first is judged correct, the second wrong."""
    monkeypatch.setattr(enhancement_round, "BATCH", 4)

    class HalfCorrect(SceneJudge):
        def assess(self, prompts, images):
            def opinion(ok):
                return {name: Verdict(ok=ok, reason="" if ok else "wrong") for name in names}

            assessments = super().assess(prompts, images)
            names = assessments[0].verdicts
            return [
                one.model_copy(update=(WRONG if i % 2 else CORRECT) | {"verdicts": opinion(i % 2 == 0)})
                for i, one in enumerate(assessments)
            ]

    monkeypatch.setattr(self_enhancement, "SceneJudge", HalfCorrect)
    monkeypatch.setattr(RoundSettings, "__post_init__", lambda self: object.__setattr__(self, "count", 8))
    suite = self_enhancement.playground_suite
    few = PlaygroundSettings(per_category=1, seeds=1, samples=4)
    monkeypatch.setattr(self_enhancement, "playground_suite", lambda model, _: suite(model, few))


def test_rounds_become_training_data_and_resume_from_every_state(monkeypatch, few_drawings):
    """Three epochs of six steps, a round after the first two; one death in each state of each round."""
    # few documents wait for a row, so that a few steps are enough to meet the new ones
    given = [
        *arguments("self_enhancement", 18),
        "--data.init_args.look_ahead=4",
        "--data.init_args.readers=1",
    ]
    whole = train.main([*given, "--name", "whole/self"])
    rounds = sorted((whole.folder / "self_enhancement").iterdir())
    summaries = [json.loads((r / "summary.json").read_text()) for r in rounds]
    assert [(s["good"], s["bad"], s["second_turns"]) for s in summaries] == [(4, 4, 4)] * 2
    weights = {name: c.weight for name, c in whole.datamodule.sources.items() if "enhancement" in name}
    assert sum(weights.values()) == pytest.approx(0.25 / 0.75, abs=1e-6) and len(weights) == 2
    logged = [row for row in rows(whole.folder) if row.get("self_enhancement/good")]
    assert [row["self_enhancement/dialogues"] for row in logged] == ["24.0", "24.0"]
    assert any(float(row.get("data/tokens_self_enhancement_1") or 0) > 0 for row in rows(whole.folder))

    record = json.loads((whole.folder / "self_enhancement.json").read_text())
    assert [r["own"]["asked"] for r in record["rounds"]] == [8, 8]
    assert record["before"].keys() == record["after"].keys() and "vqa/accuracy" in record["before"]
    assert (whole.folder / "self_enhancement.html").is_file()

    deaths = 0
    for method in ("draw", "judge", "write"):
        original = getattr(Round, method)

        def dies(self, *args, original=original, method=method):
            result = original(self, *args) if method == "write" else None
            marker = self.folder / f"died-{method}"
            if not marker.exists():
                marker.write_text("")
                raise KeyError("cut")
            return result if method == "write" else original(self, *args)

        monkeypatch.setattr(Round, method, dies)
    again = None
    while again is None and deaths <= 6:
        try:
            again = train.main([*given, "--name", "self"])
        except KeyError as death:
            assert death.args == ("cut",)
            deaths += 1
    assert deaths == 6 and again.resume.step in (12, 14)
    assert json.loads((again.folder / "self_enhancement.json").read_text()) == record
    assert rows(again.folder) == rows(whole.folder)
    one, other = (load_file(run.folder / "model/language/model.safetensors") for run in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_missing_shards_of_a_round_are_reported_by_name(few_drawings, capsys):
    given = [*arguments("self_enhancement", 12), "--name", "gone"]
    with cut_off(LanguageModule, 9):
        train.main(given)
    (shard,) = Path("runs/gone/self_enhancement").rglob("*.tar")
    shard.unlink()
    with pytest.raises(SystemExit) as stop:
        train.main(given)
    lines = [text for text in capsys.readouterr().err.splitlines() if "error" in text]
    assert stop.value.code == 2 and len(lines) == 1 and shard.name in lines[0]
