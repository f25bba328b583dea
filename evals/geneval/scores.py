"""GenEval's summary: the share of correct images by task, the mean of the tasks, and their intervals.

The 95% intervals are Wilson's, which hold where all or none are right, as a bootstrap's do not. The images of a prompt
resemble each other, so they count for fewer: the effective number is what the spread between prompts says (Korn and
Graubard 1998), never fewer than the prompts and never more than the images. The mean of the tasks takes its limits from
theirs (Zou and Donner 2008): the tasks have different prompts, so their errors add as squares. The intervals are over
prompts of the same kind and over drawings, not over detectors.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import mean

from evals.geneval.vocabulary import TAGS
from evals.intervals import Mean, Z

ByPrompt = Sequence[Sequence[bool]]  # of each prompt, which images are correct


def summary(verdicts: Mapping[str, ByPrompt]) -> dict[str, float]:
    """The report's scores, from the verdicts of each task's prompts; a task without any is left out."""
    shares = {f"geneval/{tag}": proportion(verdicts[tag]) for tag in TAGS if verdicts.get(tag)}
    shares = {"geneval/overall": combine(list(shares.values())), **shares}
    scores: dict[str, float] = {}
    for name, one in shares.items():
        scores |= one.to_report(name)
    prompts = [prompt for group in verdicts.values() for prompt in group]
    scores["geneval/images_right"] = float(mean(right for prompt in prompts for right in prompt))
    scores["geneval/prompts_right_once"] = float(mean(any(prompt) for prompt in prompts))
    return scores


def proportion(prompts: ByPrompt) -> Mean:
    """The share of images that are correct, as many of each prompt."""
    value = float(mean(right for prompt in prompts for right in prompt))
    low, high = wilson(value, effective_number(prompts))
    return Mean(value, low, high)


def effective_number(prompts: ByPrompt) -> float:
    """The effective number of independent images, from the number of prompts to the number of images."""
    count, images = len(prompts), sum(map(len, prompts))
    means = [mean(map(float, prompt)) for prompt in prompts]
    value = mean(means)
    spread = sum((one - value) ** 2 for one in means)
    if count < 2 or value in (0, 1):
        return count
    if spread == 0:
        return images
    return min(max(value * (1 - value) * count * (count - 1) / spread, count), images)


def wilson(value: float, number: float) -> tuple[float, float]:
    """Wilson's interval of a proportion of so many images."""
    middle = value + Z**2 / (2 * number)
    half = Z * sqrt(value * (1 - value) / number + Z**2 / (4 * number**2))
    whole = 1 + Z**2 / number
    return max((middle - half) / whole, 0.0), min((middle + half) / whole, 1.0)


def combine(shares: Sequence[Mean]) -> Mean:
    """The mean of independent proportions, with limits at the root of their squared distances."""
    value = mean(one.value for one in shares)
    below = sqrt(sum((one.value - one.low) ** 2 for one in shares)) / len(shares)
    above = sqrt(sum((one.high - one.value) ** 2 for one in shares)) / len(shares)
    return Mean(value, max(value - below, 0.0), min(value + above, 1.0))
