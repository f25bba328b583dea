"""The model `illume` of lmms-eval (github.com/EvolvingLMMs-Lab/lmms-eval): takes its chat requests, gives answers.

Its ranks each ask their own share of a benchmark's questions; here there is one model a process and no word between them.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from tqdm import tqdm

from common.errors import user_errors
from evals.lmms.loading import load_answerer
from evals.lmms.requests import Ending, Request

NAME = "illume"


class IllumeChat(lmms):
    """`lmms-eval --model illume --model_args pretrained=DIR`.

    lmms-eval would print its user's error as a traceback and end with exit code 0; here it is one line and exit code 2.

    Args:
        pretrained: model folder.
        device: as in `load_answerer`.
        batch_size: questions answered at once.
        fit: `pad` (white around pictures that are no square) or `crop` (their middle).
        unknown: refused.
    """

    is_simple = False  # takes whole messages, in which images stand where they are spoken of

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
        """Where lmms-eval puts what its ranks tell each other."""
        return self._device

    def clean(self) -> None:
        """Lets go of the model once all is answered, so that a judge may have the GPU."""
        del self.answerer
        super().clean()

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Greedy answers in the order of the requests."""
        answers: dict[int, str] = {}
        with user_errors(NAME), tqdm(total=len(requests), desc=NAME, disable=self.rank != 0) as bar:
            for some in self.answerer.answers([self._request(instance) for instance in requests]):
                answers |= some
                bar.update(len(some))
        return [answers[place] for place in range(len(requests))]

    def _request(self, instance: Instance) -> Request:
        words, to_messages, settings, number, task, split = instance.args
        return Request(
            task, words, lambda: to_messages(self.task_dict[task][split][number]), Ending.of(settings, task)
        )

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> NoReturn:
        """Refused: it answers in one round."""
        self._refuse(requests, "several rounds")

    def loglikelihood(self, requests: Sequence[Instance]) -> NoReturn:
        """Refused: lmms-eval's chat tasks, which the model is registered for, never ask it."""
        self._refuse(requests, "likelihoods")

    def _refuse(self, requests: Sequence[Instance], what: str) -> NoReturn:
        with user_errors(NAME):
            raise ValueError(
                f"task {requests[0].task_name} asks for {what}, and this model answers once in words"
            )
