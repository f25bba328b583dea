"""A multimodal model behind an OpenAI-compatible server as the judge: GPT-4o as in the paper, or any other."""

import hashlib
import json
import logging
import os
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from common.terminal import printable
from common.urls import masked_url
from judges.answers import CutAnswer, answer_text
from judges.assessment import Assessment, Dimension, Verdict, from_json, json_schema
from judges.cache import OpinionCache
from judges.http_limits import limited_client, retry_after, within
from judges.judge import Judge, JudgeUnavailable, JudgeRefused, Unjudged
from judges.limits import believed, check_amounts, check_sizes
from judges.question import SYSTEM, question
from judges.redaction import Redactor, check_url, redact_logs, url_secrets

if TYPE_CHECKING:
    from openai import OpenAI

log = logging.getLogger(__name__)

THIS_IMAGE = (400, 413, 422)  # answers that may be about one image, and not about all
MAX_ERROR = 10_000  # letters of an error that are looked at for secrets
OPENAI = "https://api.openai.com/v1"
LONG_WAIT = 10.0  # seconds before another try, from which on it is told
MAX_UNREADABLE = 3  # images in a row without one readable answer, after which nobody is asked any more
UNREADABLE = (  # of an answer that no schema checked
    ValueError,
    AttributeError,
    TypeError,
    KeyError,
    IndexError,
    RecursionError,
)
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)  # answers after which trying again may help


class NoAnswer(Exception):
    """A server's answer that is none."""


class OpenAIJudge(Judge):
    """Asks a server for structured opinions; every opinion is kept on disk as soon as it is there.

    The key comes from the environment alone, and stands in no config, log or cache.

    Args:
        model: its name on the server.
        base_url: the server; None: OpenAI's own.
        key_variable: the environment variable that holds the key. A local server that wants none gets any word.
        cache: folder of opinions; None: where the round lies that it judges, and nowhere if it judges no round.
        dimensions: what is looked at.
        concurrency: calls at a time.
        calls_per_minute: at most; None: as fast as they come.
        tries: of one image, each after a longer wait.
        first_wait: seconds before the second try.
        timeout: seconds that a call may be silent.
        deadline: seconds that a whole call may take.
        temperature: of the answer; None sends none, for models that take their own alone.
        response_format: how the form is asked for: `json_schema`, `json_object`, or `none` (in the prompt alone), for
            servers that refuse the others.
        options: more fields of each request, as {max_completion_tokens: 4000, reasoning_effort: low}.
        max_calls: of this judge in one process, tries included; None: no cap.
        max_spend: in the currency of the prices, of one process; calls under way may go beyond it. None: no cap.
        input_price, output_price: of a million tokens. A cap on spending needs both.

    Raises:
        ValueError: settings that make no sense.
    """

    def __init__(
        self,
        model: str = "gpt-4o",
        base_url: str | None = None,
        key_variable: str = "OPENAI_API_KEY",
        cache: str | None = None,
        dimensions: list[Dimension | dict[str, str]] | None = None,
        concurrency: int = 4,
        calls_per_minute: float | None = None,
        tries: int = 5,
        first_wait: float = 1.0,
        timeout: float = 60.0,
        deadline: float = 300.0,
        temperature: float | None = 0.0,
        response_format: Literal["json_schema", "json_object", "none"] = "json_schema",
        options: dict[str, Any] | None = None,
        max_calls: int | None = None,
        max_spend: float | None = None,
        input_price: float | None = None,
        output_price: float | None = None,
    ) -> None:
        super().__init__(dimensions)
        check_sizes(concurrency=concurrency, tries=tries, max_calls=max_calls)
        check_amounts(
            timeout=timeout, deadline=deadline, calls_per_minute=calls_per_minute, max_spend=max_spend
        )
        check_amounts(
            zero=True,
            first_wait=first_wait,
            temperature=temperature,
            input_price=input_price,
            output_price=output_price,
        )
        if response_format not in ("json_schema", "json_object", "none"):
            raise ValueError(
                f"OpenAIJudge: response_format {response_format!r}: json_schema, json_object or none"
            )
        if taken := {"model", "messages", "temperature", "response_format", "stream", "n"} & set(
            options or {}
        ):
            raise ValueError(f"OpenAIJudge: options must not hold {', '.join(sorted(taken))}")
        try:
            json.dumps(options, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"OpenAIJudge: options are sent as JSON: {error}") from error
        self._url = base_url if base_url is not None else os.environ.get("OPENAI_BASE_URL") or OPENAI
        check_url(self._url, "OPENAI_BASE_URL" if base_url is None else "OpenAIJudge: base_url")
        if base_url is not None and url_secrets(base_url):
            raise ValueError(
                f"OpenAIJudge: base_url {masked_url(base_url)} holds a user, a password or a query, which configs "
                "and logs would keep: give that whole URL in the environment variable OPENAI_BASE_URL, and no base_url"
            )
        if max_spend is not None and (input_price is None or output_price is None):
            raise ValueError("OpenAIJudge: max_spend needs input_price and output_price, per million tokens")
        self.model, self.base_url, self.key_variable = model, base_url, key_variable
        self.concurrency, self.tries, self.first_wait = concurrency, tries, first_wait
        self.timeout, self.deadline = timeout, deadline
        self.temperature, self.response_format, self.options = temperature, response_format, options or {}
        self.max_calls, self.max_spend = max_calls, max_spend
        self.prices = (input_price or 0.0, output_price or 0.0)
        self.calls, self.spent, self.answered, self.turned_down, self.unreadable = 0, 0.0, False, 0, 0
        self._lock, self._pause = threading.Lock(), 60.0 / calls_per_minute if calls_per_minute else 0.0
        self._next_call = 0.0
        asked = [
            SYSTEM,
            [d.model_dump() for d in self.dimensions],
            temperature,
            response_format,
            self.options,
        ]
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]
        self.name = f"{printable(model)} at {masked_url(self._url).partition('://')[2]} ({digest})"
        self.cache = OpinionCache(cache, self.name)
        self._client: OpenAI | None = None

    def check(self) -> None:
        """Whether there are a client, a key, and a place for opinions; the server is not asked."""
        self._server()
        self.cache.check()

    def set_cache(self, folder: Path) -> None:
        """Keeps opinions there, if no other cache was set."""
        if self.cache.folder is None:
            self.cache = OpinionCache(folder, self.name)

    def assess(self, prompts: Sequence[str], images: Tensor) -> list[Assessment | Unjudged]:
        """Opinions, from the cache where they are known. All that were given are kept before an error is raised.

        An error lets the calls that are under way end, for they are paid for; Ctrl-C and signals do not.
        """
        keys = [self.cache.key(prompt, image) for prompt, image in zip(prompts, images, strict=True)]
        first: dict[str, int] = {}
        for i, key in enumerate(keys):
            first.setdefault(key, i)  # what is alike is asked once
        known = {key: self.cache.get(key) for key in first}
        found = {key: opinion for key, opinion in known.items() if opinion is not None}
        self.answered |= bool(found)
        stop, given_up, errors = threading.Event(), threading.Event(), []

        def work(key: str) -> None:
            if stop.is_set():
                return
            prompt = prompts[first[key]]
            try:
                found[key] = self._ask(prompt, images[first[key]], key, stop, given_up)
            except BaseException as error:  # noqa: BLE001 - raised below, once all that is under way has ended
                errors.append(error)
                stop.set()

        pool = ThreadPoolExecutor(self.concurrency)
        try:
            list(pool.map(work, [key for key in first if key not in found]))
        except BaseException:  # of a signal: what the calls meet is in `errors`
            given_up.set()
            raise
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
        if errors:
            raise next((e for e in errors if isinstance(e, JudgeRefused)), errors[0])
        return [found[key] for key in keys]

    def _ask(
        self, prompt: str, image: Tensor, key: str, stop: threading.Event, given_up: threading.Event
    ) -> Assessment | Unjudged:
        """Asks until there is an answer.

        Args:
            prompt: what the image was drawn for.
            image: (3, H, W) uint8.
            key: what names the opinion.
            stop: whether no more calls are to be made.
            given_up: whether nobody waits even for the call that is under way.
        """
        server, messages = self._server(), question(prompt, image, self.dimensions)
        import openai

        jitter, wrong, gone = random.Random(key), "", False
        for attempt in range(self.tries):
            self._take_turn(stop)
            wait = self.first_wait * 2**attempt * (0.5 + jitter.random())
            try:
                answer = within(self.deadline, lambda: self._call(server, messages), given_up)
                opinion = self._opinion(answer)
                self.cache.put(key, prompt, opinion)
                self.unreadable = 0
                return opinion
            except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
                raise JudgeRefused(
                    f"{self.name} refuses the key in {self.key_variable} ({error.status_code}): nothing is lost, "
                    "set a right one and give the same command again"
                ) from None
            except openai.APIStatusError as error:
                if error.status_code not in AGAIN:
                    return self._turned_down(error)
                wrong, wait, gone = self._said(error), max(wait, retry_after(error.response)), True
            except (openai.OpenAIError, NoAnswer, TimeoutError) as error:
                wrong, gone = self._said(error), True
            except UNREADABLE as error:
                wrong, gone = self._said(error), False
                if isinstance(error, CutAnswer):
                    break  # the same limit would cut it again
            if attempt + 1 < self.tries:
                if wait >= LONG_WAIT:
                    log.warning(
                        "%s: waits %.0f seconds before try %d of %d: %s",
                        self.name,
                        wait,
                        attempt + 2,
                        self.tries,
                        wrong,
                    )
                if stop.wait(wait):
                    raise JudgeUnavailable(f"{self.name}: nothing more is asked; what it said before is kept")
        if gone:
            raise JudgeUnavailable(
                f"{self.name} does not answer: {self.tries} tries, the last of which ended with {wrong}; "
                "what it said before is kept"
            )
        return self._unreadable(f"no readable answer in {attempt + 1} tries: {wrong}")

    def _unreadable(self, reason: str) -> Unjudged:
        """One image without a readable answer is unjudged, and not for ever: it is kept in no cache.

        Raises:
            JudgeRefused, JudgeUnavailable: it was not the only one; who asks on pays for nothing.
        """
        with self._lock:
            self.unreadable += 1
            count = self.unreadable
        if count >= MAX_UNREADABLE:
            raise (JudgeUnavailable if self.answered else JudgeRefused)(
                f"{self.name} gave no readable opinion of {count} images in a row ({reason}); what it said before is kept"
            )
        return Unjudged(reason)

    def _turned_down(self, error: Any) -> Unjudged:
        """One image may not be to a server's liking; two, before it ever answered, and it is set up wrongly."""
        told = f"{self.name} does not take what is asked: {self._said(error)}{self._redact(_advice(error))}"
        if error.status_code not in THIS_IMAGE:
            raise (JudgeUnavailable if self.answered else JudgeRefused)(told) from None
        with self._lock:
            self.turned_down += 1
            if not self.answered and (self.turned_down > 1 or _advice(error)):
                raise JudgeRefused(told) from None
        return Unjudged(f"turned down: {self._said(error)}")

    def _said(self, error: BaseException) -> str:
        """An error in short, without secrets, should a server repeat them: hidden first, then cut."""
        hidden = error.__cause__ if type(error).__name__ == "APIConnectionError" else None
        text = str(hidden or "") or str(error) or type(error).__name__
        return printable(" ".join(self._redact(text[:MAX_ERROR]).split()))[:160]

    @property
    def _redact(self) -> Redactor:
        return Redactor(os.environ.get(self.key_variable, ""), *url_secrets(self._url))

    def _take_turn(self, stop: threading.Event) -> None:
        """Counts a call against the caps, and waits until it may be made."""
        with self._lock:
            if self.max_calls is not None and self.calls >= self.max_calls:
                raise JudgeUnavailable(f"{self.name}: the cap of {self.max_calls} calls is reached")
            if self.max_spend is not None and self.spent >= self.max_spend:
                raise JudgeUnavailable(f"{self.name}: the cap on spending, {self.max_spend:g}, is reached")
            self.calls += 1
            wait = self._next_call - time.monotonic()
            self._next_call = max(self._next_call, time.monotonic()) + self._pause
        if wait > 0 and stop.wait(wait):
            raise JudgeUnavailable(f"{self.name}: nothing more is asked; what it said before is kept")

    def _call(self, server: "OpenAI", messages: list[dict[str, Any]]) -> Any:
        request: dict[str, Any] = {"model": self.model, "messages": messages}
        if self.temperature is not None:
            request["temperature"] = self.temperature
        if self.response_format == "json_schema":
            form = {"name": "assessment", "strict": True, "schema": json_schema(self.dimensions)}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        elif self.response_format == "json_object":
            request["response_format"] = {"type": "json_object"}
        try:
            answer = server.chat.completions.create(**request, extra_body=self.options)
        except (ValueError, RecursionError) as error:  # a body that is no JSON at all
            raise NoAnswer(f"an unreadable answer: {error}") from error
        if not isinstance(getattr(answer, "choices", None), list) or not answer.choices:
            raise NoAnswer(f"it has no choices: {str(answer)[:MAX_ERROR]!r}")
        usage = [getattr(answer.usage, f"{kind}_tokens", None) for kind in ("prompt", "completion")]
        counts = believed(usage)
        with self._lock:
            self.spent += sum(price * count / 1e6 for price, count in zip(self.prices, counts, strict=True))
        return answer

    def _opinion(self, answer: Any) -> Assessment | Unjudged:
        choice = answer.choices[0]
        if not hasattr(getattr(choice, "message", None), "content"):
            raise NoAnswer(f"its choice holds no message: {str(choice)[:MAX_ERROR]!r}")
        if choice.message.refusal or choice.finish_reason == "content_filter":
            said = self._shown(str(choice.message.refusal or "content filter"), 300)
            self.answered = True
            return Unjudged(f"refused: {said}")
        found = from_json(answer_text(choice), self.dimensions)
        verdicts = {
            name: Verdict(ok=v.ok, reason=self._shown(v.reason, 2000)) for name, v in found.verdicts.items()
        }
        self.answered = True
        return found.model_copy(
            update={"rationale": self._shown(found.rationale, 4000), "verdicts": verdicts}
        )

    def _shown(self, text: str, most: int) -> str:
        """A server's words as they may be kept and printed: read, then without secrets, then cut."""
        return printable(" ".join(self._redact(text).split()))[:most]

    def _server(self) -> "OpenAI":
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> "OpenAI":
        try:
            from openai import OpenAI
        except ImportError as error:
            raise JudgeRefused("this judge needs openai: pip install -e '.[judge]'") from error
        key = os.environ.get(self.key_variable, "")
        if not key:
            raise JudgeRefused(f"there is no key in the environment variable {self.key_variable}")
        redact_logs(self._redact)
        client = limited_client(self.timeout, self.deadline)
        return OpenAI(
            api_key=key, base_url=self._url, timeout=self.timeout, max_retries=0, http_client=client
        )


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
