"""An HTTP client for servers that are not to be trusted: no redirects, a byte cap, a deadline for every call."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2 as httpx

MAX_BYTES = 4 * 2**20  # of an answer; an assessment has a few thousand


def limited_client(timeout: float, deadline: float) -> "httpx.Client":
    """A client that follows no redirect and reads at most MAX_BYTES of an answer, within the deadline.

    Args:
        timeout: seconds of silence.
        deadline: seconds from an answer's headers to its end.
    """
    import httpx2 as httpx

    class Limited(httpx.SyncByteStream):
        """The bytes of a response, as long as they keep to the limits."""

        def __init__(self, stream: Any) -> None:
            self.stream, self.end = stream, time.monotonic() + deadline

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for chunk in self.stream:
                size += len(chunk)
                if size > MAX_BYTES:
                    raise httpx.ReadError(f"its answer is larger than {MAX_BYTES >> 20} MiB")
                if time.monotonic() > self.end:
                    raise httpx.ReadError(f"its answer took longer than {deadline:g} seconds")
                yield chunk

        def close(self) -> None:
            self.stream.close()

    def limit(response: httpx.Response) -> None:
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise httpx.ReadError("its answer is compressed, which was not asked for")
        response.stream = Limited(response.stream)

    return httpx.Client(
        timeout=timeout,
        follow_redirects=False,
        headers={"accept-encoding": "identity"},
        event_hooks={"response": [limit]},
    )


def call_with_deadline(seconds: float, work: Callable[[], Any], given_up: threading.Event) -> Any:
    """Calls `work` in a thread of its own and returns what it returns, or raises what it raises.

    A server that sends headers one letter at a time never goes silent, so that no time-out of the library ends it.

    Raises:
        TimeoutError: it did not end in time, or nobody waits for it any more (`given_up`); its thread is left behind,
            and dies with the process.
    """
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    end = time.monotonic() + seconds
    while not given_up.is_set() and (left := end - time.monotonic()) > 0:
        if wait([outcome], min(left, 0.1)).done:
            return outcome.result()
    raise TimeoutError(f"no whole answer within {seconds:g} seconds")


def retry_after(response: Any) -> float:
    """Seconds that an answer's Retry-After asks for, as a number or a date; at most two minutes."""
    asked = response.headers.get("retry-after", "0")
    seconds = 0.0
    try:
        seconds = float(asked)
    except ValueError:
        with suppress(ValueError, TypeError):
            seconds = (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds()
    return min(120.0, max(0.0, seconds))
