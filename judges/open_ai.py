"""A multimodal model behind an OpenAI-compatible server as the judge: GPT-4o as in the paper, or any other."""

import hashlib
import json
import logging
import os
import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from common.terminal import printable
from common.urls import masked_url
from judges.answers import CutAnswer, answer_text, parse_assessment
from judges.assessment import DIMENSIONS, Dimension, Verdict, json_schema
from judges.budget import CallBudget
from judges.cache import OpinionCache
from judges.chat_server import ChatServer, NoAnswer, Rejected
from judges.judge import Judge, JudgeRefused, JudgeUnavailable, Opinion, Unjudged
from judges.question import SYSTEM, question
from judges.redaction import check_url, url_secrets

log = logging.getLogger(__name__)

OPENAI = "https://api.openai.com/v1"
ABOUT_ONE_IMAGE = (400, 413, 422)  # statuses that may be about one image, and not about all
LONG_WAIT = 10.0  # seconds before another try, from which on it is logged
MAX_UNREADABLE = 3  # images in a row without one readable answer, after which nothing more is asked
# Errors of reading an answer; and fields of a request that options must not set.
UNREADABLE = (ValueError, AttributeError, TypeError, LookupError, RecursionError)
RESERVED = ("model", "messages", "temperature", "response_format", "stream", "n")
MAX_COUNT, MAX_SECONDS = 10_000, 30 * 24 * 3600.0  # beyond which a setting is a mistake
# By the values that are allowed: settings, and the highest value of each.
RANGES: dict[str, dict[str, float]] = {
    "whole number from 1": {"concurrency": MAX_COUNT, "tries": MAX_COUNT, "max_calls": inf},
    "number above 0": {
        "timeout": MAX_SECONDS,
        "deadline": MAX_SECONDS,
        "calls_per_minute": inf,
        "max_spend": inf,
    },
    "number from 0": {"first_wait": MAX_SECONDS, "temperature": inf, "input_price": inf, "output_price": inf},
}


@dataclass(eq=False)
class OpenAIJudge(Judge):
    """Asks a server for structured opinions; every opinion is kept on disk as soon as it is there.

    The key comes from the environment alone, and is in no config, log or cache.

    Args:
        model: its name on the server.
        base_url: the server; None: OpenAI's own.
        key_variable: the environment variable of the key; for a local server that wants none, of any word.
        cache: folder of opinions; None: in the round that is judged, and nowhere if it judges no round.
        dimensions: what is assessed.
        concurrency: calls at a time.
        calls_per_minute: at most; None: as fast as they come.
        tries: of one image, each after a longer wait.
        first_wait: seconds before the second try.
        timeout: seconds that a call may be silent.
        deadline: seconds that a whole call may take.
        temperature: of the answer; None sends none, for models that take only their own.
        response_format: how the form is asked for; `none`: in the prompt alone, for servers that refuse the others.
        options: more fields of each request, as {max_completion_tokens: 4000, reasoning_effort: low}.
        max_calls: of this judge in one process, tries included; None: no cap.
        max_spend: in the currency of the prices, of one process; calls under way may go beyond it. None: no cap.
        input_price: of a million tokens; a cap on spending needs both prices.
        output_price: of a million tokens.

    Raises:
        ValueError: a setting is out of range.
    """

    model: str = "gpt-4o"
    base_url: str | None = None
    key_variable: str = "OPENAI_API_KEY"
    cache: str | None = None
    dimensions: tuple[Dimension, ...] = DIMENSIONS
    concurrency: int = 4
    calls_per_minute: float | None = None
    tries: int = 5
    first_wait: float = 1.0
    timeout: float = 60.0
    deadline: float = 300.0
    temperature: float | None = 0.0
    response_format: Literal["json_schema", "json_object", "none"] = "json_schema"
    # any JSON; not Any, of which jsonargparse would build the objects that a class_path names
    options: dict[str, bool | int | float | str | list | dict | None] = field(default_factory=dict)
    max_calls: int | None = None
    max_spend: float | None = None
    input_price: float | None = None
    output_price: float | None = None

    def __post_init__(self) -> None:
        super().__init__(self.dimensions)
        _check_settings(self)
        url = self.base_url if self.base_url is not None else os.environ.get("OPENAI_BASE_URL") or OPENAI
        check_url(url, "OPENAI_BASE_URL" if self.base_url is None else "OpenAIJudge: base_url")
        if self.base_url is not None and url_secrets(self.base_url):
            raise ValueError(
                f"OpenAIJudge: base_url {masked_url(self.base_url)} holds a user, a password or a query, which configs "
                "and logs would keep: give that whole URL in the environment variable OPENAI_BASE_URL, and no base_url"
            )
        dimensions = [dimension.model_dump() for dimension in self.dimensions]
        asked = [SYSTEM, dimensions, self.temperature, self.response_format, self.options]
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]
        self.name = f"{printable(self.model)} at {masked_url(url).partition('://')[2]} ({digest})"
        prices = self.input_price or 0.0, self.output_price or 0.0
        self.budget = CallBudget(self.name, self.max_calls, self.max_spend, prices, self.calls_per_minute)
        self.server = ChatServer(self.name, url, self.key_variable, self.timeout, self.deadline, self.budget)
        self.opinions = OpinionCache(self.cache, self.name)
        self._answered, self._rejected, self._unreadable = False, 0, 0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Whether there are a client, a key, and a folder for opinions; the server is not asked."""
        self.server.connect()
        self.opinions.check()

    def set_cache(self, folder: Path) -> None:
        """Keeps opinions there, if no other cache is set."""
        if self.opinions.folder is None:
            self.opinions = OpinionCache(folder, self.name)

    def assess(self, prompts: Sequence[str], images: Tensor) -> list[Opinion]:
        """Opinions, from the cache where they are known. All that were given are kept before an error is raised.

        After an error the calls that are under way are awaited, for they are paid for; not after Ctrl-C and signals.
        """
        keys = [self.opinions.key(prompt, image) for prompt, image in zip(prompts, images, strict=True)]
        first: dict[str, int] = {}
        for i, key in enumerate(keys):
            first.setdefault(key, i)  # equal questions are asked once
        known = {key: self.opinions.get(key) for key in first}
        found = {key: opinion for key, opinion in known.items() if opinion is not None}
        self._answered |= bool(found)
        stop, given_up = threading.Event(), threading.Event()
        errors: list[BaseException] = []

        def work(key: str) -> None:
            if stop.is_set():
                return
            try:
                found[key] = self._ask(prompts[first[key]], images[first[key]], key, stop, given_up)
            except BaseException as error:  # noqa: BLE001 - raised below, once all that is under way has ended
                errors.append(error)
                stop.set()

        pool = ThreadPoolExecutor(self.concurrency)
        try:
            list(pool.map(work, [key for key in first if key not in found]))
        except BaseException:  # of a signal: errors of calls are in `errors`
            given_up.set()
            raise
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
        if errors:
            raise next((error for error in errors if isinstance(error, JudgeRefused)), errors[0])
        return [found[key] for key in keys]

    def _ask(
        self, prompt: str, image: Tensor, key: str, stop: threading.Event, given_up: threading.Event
    ) -> Opinion:
        """Asks about an image (3, H, W) until there is an answer; `key` names the opinion."""
        request, jitter = self._request(prompt, image), random.Random(key)
        problem, unavailable = "", False
        for attempt in range(self.tries):
            wait = self.first_wait * 2**attempt * (0.5 + jitter.random())
            try:
                choice = self.server.complete(request, self.options, stop, given_up)
                opinion = self._opinion(choice)
                self.opinions.put(key, prompt, opinion)
                self._unreadable, self._answered = 0, True
                return opinion
            except JudgeRefused:
                raise
            except Rejected as error:
                return self._handle_rejection(error)
            except NoAnswer as error:
                problem, wait, unavailable = str(error), max(wait, error.wait), True
            except UNREADABLE as error:
                problem, unavailable = self.server.describe(error), False
                if isinstance(error, CutAnswer):
                    break  # the same limit would cut it again
            if attempt + 1 < self.tries:
                if wait >= LONG_WAIT:
                    message = "%s: waits %.0f seconds before try %d of %d: %s"
                    log.warning(message, self.name, wait, attempt + 2, self.tries, problem)
                if stop.wait(wait):
                    raise JudgeUnavailable(
                        f"{self.name}: nothing more is asked; its opinions so far are kept"
                    )
        if unavailable:
            raise JudgeUnavailable(
                f"{self.name} does not answer: {self.tries} tries, the last of which ended with {problem}; "
                "its opinions so far are kept"
            )
        return self._handle_unreadable(f"no readable answer in {attempt + 1} tries: {problem}")

    def _request(self, prompt: str, image: Tensor) -> dict[str, Any]:
        request: dict[str, Any] = {"model": self.model, "messages": question(prompt, image, self.dimensions)}
        if self.temperature is not None:
            request["temperature"] = self.temperature
        if self.response_format == "json_schema":
            form = {"name": "assessment", "strict": True, "schema": json_schema(self.dimensions)}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        elif self.response_format == "json_object":
            request["response_format"] = {"type": "json_object"}
        return request

    def _opinion(self, choice: Any) -> Opinion:
        clean = self.server.clean
        if choice.message.refusal or choice.finish_reason == "content_filter":
            return Unjudged(f"refused: {clean(str(choice.message.refusal or 'content filter'), 300)}")
        found = parse_assessment(answer_text(choice), self.dimensions)
        verdicts = {
            name: Verdict(ok=verdict.ok, reason=clean(verdict.reason, 2000))
            for name, verdict in found.verdicts.items()
        }
        return found.model_copy(update={"rationale": clean(found.rationale, 4000), "verdicts": verdicts})

    def _handle_unreadable(self, reason: str) -> Unjudged:
        """One image without a readable answer is unjudged, but not for ever: it is kept in no cache.

        Raises:
            JudgeRefused, JudgeUnavailable: it was not the only one, and more calls would be paid for in vain.
        """
        with self._lock:
            self._unreadable += 1
            count = self._unreadable
        if count >= MAX_UNREADABLE:
            raise (JudgeUnavailable if self._answered else JudgeRefused)(
                f"{self.name} gave no readable opinion of {count} images in a row ({reason}); "
                "its opinions so far are kept"
            )
        return Unjudged(reason)

    def _handle_rejection(self, error: Rejected) -> Unjudged:
        """One image may be rejected; two, before the server ever answered, mean that the judge is set up wrongly."""
        message = f"{self.name} rejects the request: {error}{error.advice}"
        if error.status not in ABOUT_ONE_IMAGE:
            raise (JudgeUnavailable if self._answered else JudgeRefused)(message) from None
        with self._lock:
            self._rejected += 1
            if not self._answered and (self._rejected > 1 or error.advice):
                raise JudgeRefused(message) from None
        return Unjudged(f"rejected: {error}")


def _check_settings(judge: OpenAIJudge) -> None:
    for allowed, settings in RANGES.items():
        for name, highest in settings.items():
            value = getattr(judge, name)
            if value is None:
                continue
            lowest = 1 if "whole" in allowed else 0
            right = lowest <= value <= highest and value < inf and not ("above" in allowed and value == 0)
            if isinstance(value, bool) or not right:
                most = f" to {highest:.0f}" if highest < inf else ""
                raise ValueError(f"OpenAIJudge: {name} is {value!r}: give a {allowed}{most}")
    if judge.response_format not in ("json_schema", "json_object", "none"):
        raise ValueError(
            f"OpenAIJudge: response_format {judge.response_format!r}: json_schema, json_object or none"
        )
    if taken := sorted({*RESERVED} & judge.options.keys()):
        raise ValueError(f"OpenAIJudge: options must not hold {', '.join(taken)}")
    try:
        json.dumps(judge.options, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"OpenAIJudge: options are sent as JSON: {error}") from error
    if judge.max_spend is not None and (judge.input_price is None or judge.output_price is None):
        raise ValueError("OpenAIJudge: max_spend needs input_price and output_price, per million tokens")
