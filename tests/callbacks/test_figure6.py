"""Each branch is scored in eval mode, and training goes on unchanged."""

from types import SimpleNamespace

import pytest
import torch

from callbacks.figure6 import Figure6
from models.unified import Illume


def test_every_branch_is_scored_in_eval_mode(monkeypatch: pytest.MonkeyPatch, tiny_illume: Illume) -> None:
    seen = []

    def scores(model: Illume, **settings: int) -> dict[str, float]:
        seen.append((model, model.language.training, torch.is_grad_enabled(), settings["per_category"]))
        return {"overall": len(seen) / 4, "rebuilt": 1.0}

    monkeypatch.setattr("callbacks.figure6.branch_scores", scores)
    branches = {"semantic": tiny_illume, "pixel": Illume(language=tiny_illume.language)}
    tiny_illume.language.train()
    metrics = Figure6(per_category=3).scores(SimpleNamespace(branches=branches, images_seen=320))
    assert seen == [(branch, False, False, 3) for branch in branches.values()]
    assert metrics == {
        "images": 320.0,
        "geneval/overall_semantic": 0.25, "geneval/rebuilt_semantic": 1.0,
        "geneval/overall_pixel": 0.5, "geneval/rebuilt_pixel": 1.0,
    }  # fmt: skip
    assert tiny_illume.language.training


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Figure6(per_category=0)
