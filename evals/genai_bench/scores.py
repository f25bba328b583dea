"""GenAI-Bench's summary: the mean score of each skill's prompts, of the basic, of the advanced, and of all."""

from collections.abc import Mapping, Sequence

from evals.genai_bench.prompts import TAGS, Prompt
from evals.intervals import clustered_mean


def check_skills(prompts: Sequence[Prompt]) -> None:
    """Raises ValueError if none of the prompts has a skill."""
    if not any(prompt.tags for prompt in prompts):
        raise ValueError(
            f"none of these {len(prompts)} prompts has a skill, so there is nothing to sum up: raise --limit"
        )


def summary(prompts: Sequence[Prompt], scores: Mapping[str, float]) -> dict[str, float]:
    """The report's scores with their 95% intervals over prompts; a skill without any is left out.

    As in the authors' own summary, `overall` is the mean over every prompt that has a skill, each counted once, and a
    prompt without one counts nowhere (7 of the 1,600). Scores are VQAScores from 0 to 1 by the prompt's number.
    """
    groups = {"overall": [prompt for prompt in prompts if prompt.tags]}
    groups |= {tag: [prompt for prompt in prompts if tag in prompt.tags] for tag in TAGS}
    report: dict[str, float] = {}
    for tag, members in groups.items():
        if members:
            numbers = [prompt.number for prompt in members]
            mean = clustered_mean([scores[number] for number in numbers], numbers, 0, 1)
            report |= mean.to_report(f"genai/{tag.replace(' ', '_')}")
    return report
