"""What lmms-eval asks of a model: its questions, how an answer is to end, and in which order they are best answered."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LIMIT = 128  # tokens of an answer where a task does not say; lmms-eval's own models take this too
ALIKE = 256  # characters: questions that differ in length by less are padded to each other without much waste


@dataclass(frozen=True)
class Ending:
    """Where an answer ends, if the model does not end it: after `limit` tokens, or before any of `until`."""

    limit: int
    until: tuple[str, ...]

    @classmethod
    def of(cls, settings: Mapping[str, Any], task: str) -> "Ending":
        """That of a task's `generation_kwargs`.

        Raises:
            ValueError: it asks for sampling or for beams; answers here are the likeliest words, one after the other.
        """
        beams, warm = settings.get("num_beams") or 1, settings.get("temperature")
        warm = 1.0 if warm is None else float(warm)
        if beams > 1 or (settings.get("do_sample") and warm > 0):
            what = f"num_beams {beams}" if beams > 1 else f"sampling at temperature {warm:g}"
            raise ValueError(
                f"task {task} asks for {what}, and this model's answers are greedy: "
                "give --gen_kwargs do_sample=False,num_beams=1"
            )
        limit = settings.get("max_new_tokens") or LIMIT
        if int(limit) < 1:
            raise ValueError(f"task {task} asks for answers of {limit} tokens: it takes 1 at least")
        until = settings.get("until") or ()
        return cls(int(limit), tuple(filter(None, (until,) if isinstance(until, str) else until)))

    def cut(self, answer: str) -> str:
        """The answer up to the first of the strings that end it."""
        ends = [place for word in self.until if (place := answer.find(word)) >= 0]
        return answer[: min(ends)].strip() if ends else answer


@dataclass(frozen=True)
class Request:
    """A question: its task, its words (by which questions are ordered), its messages when they are wanted, its ending."""

    task: str
    words: str
    messages: Callable[[], Sequence[Mapping[str, Any]]]
    ending: Ending


def batches(requests: Sequence[Request], size: int) -> Iterator[list[int]]:
    """Places of requests that are answered together: of one ending and about one length, the longest first.

    Beside that they keep their order, in which a benchmark's questions about one image follow each other.
    """
    groups: dict[Ending, list[int]] = defaultdict(list)
    for place, request in enumerate(requests):
        groups[request.ending].append(place)
    for places in groups.values():
        places.sort(key=lambda place: -(len(requests[place].words) // ALIKE))
        yield from (places[start : start + size] for start in range(0, len(places), size))
