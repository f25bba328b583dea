"""Hard negatives of a prompt: other captions that say nearly the same."""

import random
from collections.abc import Sequence

CANDIDATES = 64  # captions at random for each hard negative, where none differs in one word
MAX_WORDS = 32  # of a caption that is compared word by word

Gap = tuple[str | None, ...]  # the words of a caption, one of them left out


def choose_hard_negatives(
    prompts: Sequence[str], captions: Sequence[str], count: int, rng: random.Random
) -> list[list[str]]:
    """For each prompt, `count` other captions that say nearly the same.

    First those that differ from it in one word, each at another position ("two red circles", "three red circles", "two
    red stars"); where there are too few, of CANDIDATES at random those that share the most words.

    Raises:
        ValueError: there are too few other captions.
    """
    if count and len(set(captions) | set(prompts)) <= count:
        raise ValueError(
            f"each drawing is to have {count} other captions as hard negatives, and there are too few"
        )
    by_gap: dict[Gap, list[str]] = {gap: [] for prompt in prompts for gap in _gaps(prompt)}
    for caption in captions:
        for gap in _gaps(caption):
            if gap in by_gap:
                by_gap[gap].append(caption)
    chosen = []
    for prompt in prompts:
        positions = [others for gap in _gaps(prompt) if (others := [c for c in by_gap[gap] if c != prompt])]
        near = [rng.choice(others) for others in rng.sample(positions, min(count, len(positions)))]
        chosen.append(near + _nearest(prompt, captions, count - len(near), {prompt, *near}, rng))
    return chosen


def _gaps(caption: str) -> list[Gap]:
    """A caption with each of its words left out in turn: what it shares with those that differ in that word."""
    words = caption.split()
    if len(words) > MAX_WORDS:
        return []
    return [(*words[:i], None, *words[i + 1 :]) for i in range(len(words))]


def _nearest(
    prompt: str, captions: Sequence[str], count: int, excluded: set[str], rng: random.Random
) -> list[str]:
    """Of captions at random, those that share the most words."""
    if not count:
        return []
    near = {rng.choice(captions) for _ in range(CANDIDATES * count)} - excluded
    if len(near) < count:
        near = set(captions) - excluded
    words = set(prompt.split())

    def distance(other: str) -> tuple[float, str]:
        theirs = set(other.split())
        return -len(words & theirs) / len(words | theirs), other

    return sorted(near, key=distance)[:count]
