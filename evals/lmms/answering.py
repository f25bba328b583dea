"""A model that answers what lmms-eval asks, batch by batch."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from evals.lmms.messages import Eye, read_messages
from evals.lmms.requests import Request, batches
from models.document import Part
from models.language.text_generation import generate_text
from models.unified import Illume

log = logging.getLogger(__name__)


class Answerer:
    """A model that answers requests.

    Args:
        model: with the parts that see and write, in eval mode.
        batch: requests that are answered at once.
        fit: how pictures become square, one of FITS.
    """

    def __init__(self, model: Illume, batch: int = 1, fit: str = "pad") -> None:
        self.model, self.batch, self.fit = model, batch, fit

    def answers(self, requests: Sequence[Request]) -> Iterator[dict[int, str]]:
        """The answers, batch by batch, by the place of their request.

        A question that is longer than the model's context is answered with nothing; how many were is logged.

        Raises:
            ValueError: a task asks what this model does not do. The first request of each is read before any is answered.
        """
        first = {request.task: request for request in reversed(requests)}
        for request in first.values():
            self._document(request, lambda source: source)
        unread = 0
        for places in batches(requests, self.batch):
            found = self._answer([requests[place] for place in places])
            unread += found.count(None)
            yield {place: answer or "" for place, answer in zip(places, found, strict=True)}
        if unread:
            log.warning(
                f"illume: {unread} of {len(requests)} questions are longer than the model's context of {self._context} "
                "tokens; they were answered with nothing"
            )

    @property
    def _context(self) -> int:
        return self.model.language.context

    def _document(self, request: Request, look: Callable[[Any], Any]) -> list[Part]:
        try:
            return read_messages(request.messages(), look)
        except ValueError as error:
            raise ValueError(f"task {request.task}: {error}") from error

    def _answer(self, requests: Sequence[Request]) -> list[str | None]:
        """Answers to requests of one ending; None for what does not fit."""
        model, ending = self.model, requests[0].ending
        eye = Eye(model.image_input, self.fit)
        prompts = [model.sequencer.segment(self._document(request, eye), ask=True) for request in requests]
        room = [min(ending.limit, self._context - len(prompt)) for prompt in prompts]
        fit = [place for place, left in enumerate(room) if left > 0]
        answers: list[str | None] = [None] * len(requests)
        if fit:
            asked = [prompts[place] for place in fit]
            written = generate_text(model.language, model.encode_seen(asked), max(room[place] for place in fit))
            for place, row in zip(fit, written, strict=True):
                answers[place] = ending.cut(model.decode_text(row[: room[place]]))
        return answers
