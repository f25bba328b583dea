"""Caps on calls to a server and on spending, and the rate of calls; shared by threads."""

import threading
import time
from typing import Any

from judges.judge import JudgeUnavailable

USUAL_TOKENS = (2000, 500)  # in and out: of an answer that reports none, or an impossible count
MAX_TOKENS = 10**6  # in or out, of one answer: a server that reports more is not believed


class CallBudget:
    """Counts calls and spending of one process; `prices` are of a million tokens in and out, None is no cap."""

    def __init__(
        self,
        name: str,
        max_calls: int | None,
        max_spend: float | None,
        prices: tuple[float, float],
        calls_per_minute: float | None,
    ) -> None:
        self.name, self.max_calls, self.max_spend, self.prices = name, max_calls, max_spend, prices
        self.calls, self.spent = 0, 0.0
        self._lock, self._next = threading.Lock(), 0.0
        self._pause = 60.0 / calls_per_minute if calls_per_minute else 0.0

    def take(self, stop: threading.Event) -> None:
        """Counts a call, and waits until it may be made.

        Raises:
            JudgeUnavailable: a cap is reached, or `stop` was set.
        """
        with self._lock:
            if self.max_calls is not None and self.calls >= self.max_calls:
                raise JudgeUnavailable(f"{self.name}: the cap of {self.max_calls} calls is reached")
            if self.max_spend is not None and self.spent >= self.max_spend:
                raise JudgeUnavailable(f"{self.name}: the cap on spending, {self.max_spend:g}, is reached")
            self.calls += 1
            wait = self._next - time.monotonic()
            self._next = max(self._next, time.monotonic()) + self._pause
        if wait > 0 and stop.wait(wait):
            raise JudgeUnavailable(f"{self.name}: nothing more is asked; its opinions so far are kept")

    def charge(self, usage: Any) -> None:
        """Adds the price of an answer, by the token counts that a server reports where they can be true."""
        reported = [getattr(usage, f"{kind}_tokens", None) for kind in ("prompt", "completion")]
        counts = [
            min(count, MAX_TOKENS) if isinstance(count, int) and count > 0 else usual
            for count, usual in zip(reported, USUAL_TOKENS, strict=True)
        ]
        with self._lock:
            self.spent += sum(price * count / 1e6 for price, count in zip(self.prices, counts, strict=True))
