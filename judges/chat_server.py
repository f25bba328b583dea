"""An OpenAI-compatible server: its key and URL, calls with a deadline, and its errors without secrets."""

import os
import threading
from typing import TYPE_CHECKING, Any

from common.terminal import printable
from common.urls import masked_url
from judges.budget import CallBudget
from judges.http_limits import call_with_deadline, limited_client, retry_after
from judges.judge import JudgeRefused
from judges.redaction import Redactor, redact_logs, url_secrets

if TYPE_CHECKING:
    from openai import OpenAI

MAX_ERROR = 10_000  # characters of an error that are searched for secrets
RETRY = (408, 409, 425, 429, 500, 502, 503, 504, 529)  # statuses after which trying again may help


class NoAnswer(Exception):
    """There is no answer, but another try may get one, after `wait` seconds."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


class Rejected(Exception):
    """The server does not take a request: its status, and what to change, if that is known."""

    def __init__(self, text: str, status: int, advice: str) -> None:
        super().__init__(text)
        self.status, self.advice = status, advice


class ChatServer:
    """Chat completions of one server, whose key is read from the environment and nowhere repeated."""

    def __init__(
        self, name: str, url: str, key_variable: str, timeout: float, deadline: float, budget: CallBudget
    ) -> None:
        self.name, self.url, self.key_variable = name, url, key_variable
        self.timeout, self.deadline, self.budget = timeout, deadline, budget
        self._lock = threading.Lock()
        self._client: OpenAI | None = None

    def connect(self) -> "OpenAI":
        """The client; the server is not asked.

        Raises:
            JudgeRefused: openai is not installed, or there is no key.
        """
        with self._lock:
            if self._client is None:
                self._client = self._new_client()
            return self._client

    def _new_client(self) -> "OpenAI":
        try:
            from openai import OpenAI
        except ImportError as error:
            raise JudgeRefused("this judge needs openai: pip install -e '.[judge]'") from error
        key = os.environ.get(self.key_variable, "")
        if not key:
            raise JudgeRefused(f"there is no key in the environment variable {self.key_variable}")
        redact_logs(self._redact)
        http = limited_client(self.timeout, self.deadline)
        return OpenAI(api_key=key, base_url=self.url, timeout=self.timeout, max_retries=0, http_client=http)

    def complete(
        self,
        request: dict[str, Any],
        options: dict[str, Any],
        stop: threading.Event,
        given_up: threading.Event,
    ) -> Any:
        """Sends one request, as soon as the budget allows; returns `choices[0]` of the completion.

        `stop` is set when no more calls are to be made, `given_up` when nobody waits even for the one under way.

        Raises:
            NoAnswer, Rejected: as the classes say.
            JudgeRefused: the key is wrong.
            JudgeUnavailable: a cap is reached, or `stop` was set.
        """
        client = self.connect()
        import openai

        self.budget.take(stop)

        def call() -> Any:
            try:
                return client.chat.completions.create(**request, extra_body=options)
            except (ValueError, RecursionError) as error:  # a body that is no JSON at all
                raise NoAnswer(f"an unreadable answer: {error}") from error

        try:
            answer = call_with_deadline(self.deadline, call, given_up)
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise JudgeRefused(
                f"{self.name} refuses the key in {self.key_variable} ({error.status_code}): nothing is lost, "
                "set a right one and give the same command again"
            ) from None
        except openai.APIStatusError as error:
            if error.status_code in RETRY:
                raise NoAnswer(self.describe(error), retry_after(error.response)) from None
            advice = self._redact(_advice(error))
            raise Rejected(self.describe(error), error.status_code, advice) from None
        except (openai.OpenAIError, NoAnswer, TimeoutError) as error:
            raise NoAnswer(self.describe(error)) from None
        choices = getattr(answer, "choices", None)
        if not isinstance(choices, list) or not choices:
            raise NoAnswer(self.describe(f"it has no choices: {str(answer)[:MAX_ERROR]!r}"))
        self.budget.charge(answer.usage)
        if not hasattr(getattr(choices[0], "message", None), "content"):
            raise NoAnswer(self.describe(f"its choice holds no message: {str(choices[0])[:MAX_ERROR]!r}"))
        return choices[0]

    def describe(self, error: BaseException | str) -> str:
        """An error in short, without secrets, should a server repeat them: redacted first, then cut."""
        hidden = getattr(error, "__cause__", None) if type(error).__name__ == "APIConnectionError" else None
        text = str(hidden or "") or str(error) or type(error).__name__
        return self.clean(text[:MAX_ERROR], 160)

    def clean(self, text: str, length: int) -> str:
        """A server's text as it may be kept and printed: one line, without secrets, then cut."""
        return printable(" ".join(self._redact(text).split()))[:length]

    @property
    def _redact(self) -> Redactor:
        return Redactor(os.environ.get(self.key_variable, ""), *url_secrets(self.url))


def _advice(error: Any) -> str:
    """What to set where a server says which field of the request it does not take, or where it moved to."""
    if 300 <= error.status_code < 400:
        target = masked_url(str(error.request.url.join(error.response.headers.get("location", ""))))
        return f": it redirects to {target[:120]}, which is not followed; set base_url to the server that answers"
    text = str(error).lower()
    if "temperature" in text:
        return ": set temperature: null"
    if "response_format" in text or "json_schema" in text:
        return ": set response_format: json_object, or none"
    return ""
