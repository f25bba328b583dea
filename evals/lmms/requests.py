"""Requests of lmms-eval: its questions, where an answer stops, and in which batches they are answered."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DEFAULT_TOKENS = 128  # of an answer where a task has no limit; lmms-eval's own models take this too
LENGTH_STEP = 256  # characters: questions whose lengths differ by less are padded without much waste


@dataclass(frozen=True)
class StopCriteria:
    """Where an answer stops, if the model does not end it: after so many tokens, or before any of the strings."""

    max_new_tokens: int
    until: tuple[str, ...]

    @classmethod
    def of(cls, settings: Mapping[str, Any], task: str) -> "StopCriteria":
        """Those of a task's `generation_kwargs`. Raises ValueError if it asks for sampling or beams."""
        beams, temperature = settings.get("num_beams") or 1, settings.get("temperature")
        temperature = 1.0 if temperature is None else float(temperature)
        if beams > 1 or (settings.get("do_sample") and temperature > 0):
            what = f"num_beams {beams}" if beams > 1 else f"sampling at temperature {temperature:g}"
            raise ValueError(
                f"task {task} asks for {what}, and this model's answers are greedy: "
                "give --gen_kwargs do_sample=False,num_beams=1"
            )
        limit = settings.get("max_new_tokens") or DEFAULT_TOKENS
        if int(limit) < 1:
            raise ValueError(f"task {task} asks for answers of {limit} tokens: it takes 1 at least")
        until = settings.get("until") or ()
        return cls(int(limit), tuple(filter(None, (until,) if isinstance(until, str) else until)))

    def truncate(self, answer: str) -> str:
        """The answer up to the first of the strings that stop it."""
        ends = [index for text in self.until if (index := answer.find(text)) >= 0]
        return answer[: min(ends)].strip() if ends else answer


@dataclass(frozen=True)
class Request:
    """A question."""

    task: str
    text: str  # by whose length questions are ordered
    messages: Callable[[], Sequence[Mapping[str, Any]]]
    stop: StopCriteria


def batches(requests: Sequence[Request], size: int) -> Iterator[list[int]]:
    """Indices of requests that are answered together: of equal stop criteria and about one length, the longest first.

    Otherwise they keep their order, in which a benchmark's questions about one image follow each other.
    """
    groups: dict[StopCriteria, list[int]] = defaultdict(list)
    for i, request in enumerate(requests):
        groups[request.stop].append(i)
    for indices in groups.values():
        indices.sort(key=lambda i: -(len(requests[i].text) // LENGTH_STEP))
        yield from (indices[start : start + size] for start in range(0, len(indices), size))
