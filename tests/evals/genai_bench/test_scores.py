"""The summary is the authors': a mean by skill, of the basic, of the advanced, and of all that have one, each once."""

import numpy as np
import pytest

from evals.genai_bench.prompts import TAGS, Prompt
from evals.genai_bench.scores import check_skills, summary


def as_the_authors_sum_up(prompts: list[Prompt], scores: dict[str, float]) -> dict[str, float]:
    """`show_performance_per_skill` of genai_bench/evaluate.py, written out once more."""
    by_tag = {tag: {int(p.number) for p in prompts if tag in p.tags} for tag in TAGS}
    means = {
        tag: np.mean([scores[f"{i:05d}"] for i in numbers]) for tag, numbers in by_tag.items() if numbers
    }
    union = set().union(*by_tag.values())
    return {**means, "overall": np.mean([scores[f"{i:05d}"] for i in union])}


def test_means_are_the_authors() -> None:
    rng = np.random.default_rng(0)
    tags = [frozenset(rng.choice(TAGS, rng.integers(0, 5), replace=False).tolist()) for _ in range(40)]
    prompts = [Prompt(f"{i:05d}", "x", t) for i, t in enumerate(tags)]
    assert any(not prompt.tags for prompt in prompts)
    scores = {prompt.number: float(rng.random()) for prompt in prompts}
    report = summary(prompts, scores)
    for tag, mean in as_the_authors_sum_up(prompts, scores).items():
        name = f"genai/{tag.replace(' ', '_')}"
        assert report[name] == pytest.approx(mean)
        assert report[f"{name}/low"] < report[name] < report[f"{name}/high"]
    assert {"genai/spatial_relation", "genai/basic", "genai/advanced"} <= report.keys()


def test_a_skill_without_prompts_is_left_out() -> None:
    prompts = [Prompt("00000", "x", frozenset({"basic"})), Prompt("00001", "y", frozenset())]
    assert summary(prompts, {"00000": 0.5, "00001": 0.0}) == {"genai/overall": 0.5, "genai/basic": 0.5}
    with pytest.raises(ValueError, match="none of these 1 prompts has a skill"):
        check_skills(prompts[1:])
