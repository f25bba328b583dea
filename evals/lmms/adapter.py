"""The model `illume` of lmms-eval (github.com/EvolvingLMMs-Lab/lmms-eval): answers its chat requests.

Each of its processes asks its own share of a benchmark's questions, of a model of its own.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from tqdm import tqdm

from common.errors import user_errors
from evals.lmms.answering import load_answerer
from evals.lmms.requests import Request, StopCriteria

NAME = "illume"


class IllumeChat(lmms):
    """`lmms-eval --model illume --model_args pretrained=DIR`.

    lmms-eval would print a user's error as a traceback and end with exit code 0; here it is one line and exit code 2.
    `fit` is `pad` (white around images that are no square) or `crop` (their centre).
    """

    is_simple = False  # takes whole messages, with their images in them

    def __init__(
        self,
        pretrained: str | None = None,
        device: str | None = None,
        batch_size: int | str = 1,
        fit: str = "pad",
        **unknown: Any,
    ) -> None:
        super().__init__()
        with user_errors(NAME):
            self.answerer = load_answerer(pretrained, device, batch_size, fit, unknown)
        self._device = self.answerer.model.device

    @property
    def device(self) -> torch.device:
        """Where lmms-eval puts what its processes exchange."""
        return self._device

    def clean(self) -> None:
        """Frees the model once all is answered, so that a judge may have the GPU."""
        del self.answerer
        super().clean()

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Greedy answers in the order of the requests."""
        answers: dict[int, str] = {}
        with user_errors(NAME), tqdm(total=len(requests), desc=NAME, disable=self.rank != 0) as bar:
            for batch in self.answerer.answers([self._request(instance) for instance in requests]):
                answers |= batch
                bar.update(len(batch))
        return [answers[i] for i in range(len(requests))]

    def _request(self, instance: Instance) -> Request:
        text, to_messages, settings, number, task, split = instance.args
        return Request(
            task,
            text,
            lambda: to_messages(self.task_dict[task][split][number]),
            StopCriteria.of(settings, task),
        )

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> NoReturn:
        """Refused: it answers once."""
        self._refuse(requests, "several rounds")

    def loglikelihood(self, requests: Sequence[Instance]) -> NoReturn:
        """Refused: lmms-eval's chat tasks, which the model is registered for, never ask it."""
        self._refuse(requests, "likelihoods")

    def _refuse(self, requests: Sequence[Instance], what: str) -> NoReturn:
        with user_errors(NAME):
            raise ValueError(
                f"task {requests[0].task_name} asks for {what}, and this model answers once, with a text"
            )
