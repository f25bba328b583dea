"""Limits of HTTP answers: size, time, compression, depth."""

import contextlib
import gzip
import time

import pytest

from judges.judge import JudgeUnavailable
from tests.judges.fake_server import ok, pictures


def headers_then(handler, length=10**10, encoding="identity"):
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(length))
    handler.send_header("content-encoding", encoding)
    handler.end_headers()


def huge(handler):
    headers_then(handler)
    with contextlib.suppress(OSError):
        for _ in range(10_000):
            handler.wfile.write(b" " * 2**20)


def dripping(handler):
    headers_then(handler, 10**6)
    with contextlib.suppress(OSError):
        for _ in range(100):
            handler.wfile.write(b" ")
            time.sleep(0.1)


def dripping_headers(handler):
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nx: ")
        for _ in range(100):
            handler.wfile.write(b"a")
            time.sleep(0.1)


def compressed(handler):
    body = gzip.compress(b" " * 2**24)
    headers_then(handler, len(body), "gzip")
    handler.wfile.write(body)


def deep(handler):
    headers_then(handler, 2 * 10**6)
    handler.wfile.write(b"[" * 10**6 + b"]" * 10**6)


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (huge, "larger than 4 MiB"),
        (dripping, "longer than 1 sec|within 1 sec"),
        (dripping_headers, "within 1 seconds"),
        (compressed, "compressed"),
        (deep, "does not answer"),
    ],
)
def test_answers_without_end_are_cut_off(serve, behaviour, said):
    server, judge = serve((200, {}, behaviour), tries=1, deadline=1.0)
    begun = time.monotonic()
    with pytest.raises(JudgeUnavailable, match=said):
        judge.assess(["a circle"], pictures(1))
    assert time.monotonic() - begun < 5


def test_retry_after_is_respected(serve):
    server, judge = serve((429, {"retry-after": "1"}, b"{}"), ok())
    judge.assess(["a circle"], pictures(1))
    (first, *_), (second, *_) = server.requests
    assert second - first >= 1.0
