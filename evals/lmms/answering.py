"""A model that answers what lmms-eval asks, batch by batch, loaded as its command line says."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from common.checks import check_choice
from common.paths import expand_home
from evals.lmms.messages import ImageReader, read_messages
from evals.lmms.requests import Request, batches
from models.document import Part
from models.language.text_generation import generate_text
from models.unified import Illume

COMPONENTS = ("encoder", "language", "text_tokenizer")  # that see and write
ARGUMENTS = ("pretrained", "fit")  # of --model_args
log = logging.getLogger(__name__)


class Answerer:
    """Answers requests, `batch` at once, with a model of at least `COMPONENTS` in eval mode.

    `fit` is how images become square, one of `models.image_input.FITS`.
    """

    def __init__(self, model: Illume, batch: int = 1, fit: str = "pad") -> None:
        self.model, self.batch, self.fit = model, batch, fit

    def answers(self, requests: Sequence[Request]) -> Iterator[dict[int, str]]:
        """The answers, batch by batch, by the index of their request.

        A question that is longer than the model's context is answered with nothing; how many were is logged. Raises
        ValueError if a task asks for what this model does not do: the first request of each is read before any answer.
        """
        first = {request.task: request for request in reversed(requests)}
        for request in first.values():
            self._document(request, lambda source: source)
        unread = 0
        for indices in batches(requests, self.batch):
            found = self._answer([requests[i] for i in indices])
            unread += found.count(None)
            yield {i: answer or "" for i, answer in zip(indices, found, strict=True)}
        if unread:
            log.warning(
                f"illume: {unread} of {len(requests)} questions are longer than the model's context of {self._context} "
                "tokens; they were answered with nothing"
            )

    @property
    def _context(self) -> int:
        return self.model.language.context

    def _document(self, request: Request, read_image: Callable[[Any], Any]) -> list[Part]:
        try:
            return read_messages(request.messages(), read_image)
        except ValueError as error:
            raise ValueError(f"task {request.task}: {error}") from error

    def _answer(self, requests: Sequence[Request]) -> list[str | None]:
        """Answers to requests of equal stop criteria; None for what does not fit."""
        model, stop = self.model, requests[0].stop
        reader = ImageReader(model.image_input, self.fit)
        prompts = [model.sequencer.segment(self._document(one, reader), ask=True) for one in requests]
        room = [min(stop.max_new_tokens, self._context - len(prompt)) for prompt in prompts]
        fit = [i for i, left in enumerate(room) if left > 0]
        answers: list[str | None] = [None] * len(requests)
        if fit:
            seen = model.encode_seen([prompts[i] for i in fit])
            written = generate_text(model.language, seen, max(room[i] for i in fit))
            for i, tokens in zip(fit, written, strict=True):
                answers[i] = stop.truncate(model.decode_text(tokens[: room[i]]))
        return answers


def load_answerer(
    pretrained: str | None, device: str | None, batch_size: int | str, fit: str, unknown: dict[str, Any]
) -> Answerer:
    """The answerer of a model folder.

    Raises FileNotFoundError if there is none; ValueError if an argument is wrong, or the model cannot see or write.
    """
    for name in unknown:
        check_choice(name, ARGUMENTS, "--model_args")
    if pretrained is None:
        raise ValueError("which model? give its folder: --model_args pretrained=DIR")
    check_choice(fit, ("pad", "crop"), "--model_args fit")
    if not str(batch_size).isdecimal() or int(batch_size) < 1:
        raise ValueError(f"--batch_size {batch_size}: give a whole number from 1")
    target = resolve_device(device)
    model = Illume.from_pretrained(Path(expand_home(pretrained)))
    if missing := [name for name in COMPONENTS if getattr(model, name) is None]:
        raise ValueError(f"{pretrained} cannot answer: it has no {' and no '.join(missing)}")
    model.tokenizer = model.detokenizer = None  # nothing is drawn
    return Answerer(model.to(target), int(batch_size), fit)


def resolve_device(name: str | None) -> torch.device:
    """The device of a name as "cuda:1", "npu", "cpu", or a GPU if there is one; without a number this process's own."""
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"--device {name}: this machine has no CUDA device; leave it out, or give --device cpu"
        )
    own = "" if ":" in name or name == "cpu" else f":{os.environ.get('LOCAL_RANK', '0')}"
    try:
        return torch.device(name + own)
    except RuntimeError as error:
        raise ValueError(f"--device {name} is no device: give cuda, cuda:1 or cpu") from error
