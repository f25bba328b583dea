"""What lmms-eval found, `*_results.json` of its `--output_path`, as figures of the papers' tables."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Measure(NamedTuple):
    """Where lmms-eval reports a column of the papers' tables."""

    task: str
    metric: str  # with the name of its filter
    scale: float = 100  # to the papers' unit


MEASURES = {
    "pope": Measure("pope", "pope_f1_score,none"),
    "mmbench": Measure("mmbench_en_dev", "gpt_eval_score,none", 1),
    "seed_bench": Measure("seedbench", "seed_all,none"),
    "mme_p": Measure("mme", "mme_perception_score,none", 1),
    "mm_vet": Measure("mmvet", "gpt_eval_score,none", 1),
    "mmmu": Measure("mmmu_val", "mmmu_acc,none"),
    "ai2d": Measure("ai2d", "exact_match,flexible-extract"),
    "textvqa": Measure("textvqa_val", "exact_match,none"),
    "chartqa": Measure("chartqa", "relaxed_overall,none"),
    "docvqa": Measure("docvqa_val", "anls,none"),
    "infovqa": Measure("infovqa_val", "anls,none"),
    "ocrbench": Measure("ocrbench", "ocrbench_accuracy,none", 1000),
}


def is_lmms(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object is lmms-eval's."""
    return isinstance(content.get("results"), dict) and "lmms_eval_version" in content


def lmms_figures(content: Mapping[str, Any], where: str) -> dict[str, float]:
    """By column, what was measured.

    Raises:
        ValueError: none of the twelve benchmarks is in it, or only some questions of one were asked; begins with `where`.
    """
    results = content["results"]
    found = {
        column: m
        for column, m in MEASURES.items()
        if isinstance(_of(results, m.task).get(m.metric), (int, float))
    }
    if not found:
        has = ", ".join(results) or "nothing"
        raise ValueError(f"{where} has none of {', '.join(m.task for m in MEASURES.values())}: it has {has}")
    for measure in found.values():
        asked = _of(_of(content, "n-samples"), measure.task)
        if asked.get("effective") != asked.get("original"):
            counts = f"{asked.get('effective')} of {asked.get('original')} questions of {measure.task}"
            raise ValueError(f"{where} is of {counts}: run lmms-eval without --limit")
    return {column: results[m.task][m.metric] * m.scale for column, m in found.items()}


def lmms_note(figures: Mapping[str, float]) -> str:
    """By whom and what was measured, for a footnote."""
    metrics = (f"{MEASURES[name].task}'s {MEASURES[name].metric.partition(',')[0]}" for name in figures)
    return (
        f"by lmms-eval ({', '.join(metrics)}); by which tool the papers' figures were had is not known here"
    )


def _of(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key)
    return value if isinstance(value, Mapping) else {}
