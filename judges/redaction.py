"""Redacts secrets: keys of the environment, and credentials in URLs."""

import base64
import html
import logging
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

MASK = "***"
RUN = 8  # letters of a secret in a row that already count as it: a cut answer holds a part
SHORTEST = 4  # letters and digits below which nothing is a secret: else every "1" of an answer were one
# A letter, or an escape of one.
LETTER = re.compile(r"&#?\w{1,8};|\\+u[0-9a-fA-F]{4}|\\+x[0-9a-fA-F]{2}|%[0-9a-fA-F]{2}|.", re.DOTALL)
# Loggers that print requests with their URLs.
LOGGERS = [
    *("httpx2", "openai", "openai._base_client"),
    *(f"httpcore2.{part}" for part in ("connection", "http11", "http2", "proxy")),
]


class Redactor:
    r"""Replaces secrets in text, whole or in part, also where they are disguised.

    Only letters and digits are compared, without case, after decoding wide forms and escapes (\u0073, %73, &#115;): so
    a secret with anything between its letters is found, and so are its reverse, its hex, base64, base32 and base85.

    Args:
        secrets: texts to redact. One of fewer than 8 letters and no digit or sign ("none", "EMPTY") is none: servers that
            want no key are given such a word.
    """

    def __init__(self, *secrets: str) -> None:
        kept = [secret for secret in secrets if len(secret) >= RUN or (secret and not secret.isalpha())]
        forms = [_plain(form) for secret in kept for form in _forms(secret)]
        self._runs = {f[i : i + RUN] for f in forms for i in range(len(f) - RUN + 1)}
        short = {form for form in forms if SHORTEST <= len(form) < RUN}
        self._short = sorted(short, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Redacts a text."""
        hidden = self._hidden(text)
        if not any(hidden):
            return text
        marked = "".join("\0" if hide else letter for letter, hide in zip(text, hidden, strict=True))
        return re.sub("\0+", MASK, marked)

    def _hidden(self, text: str) -> list[bool]:
        """For each character whether it belongs to a secret."""
        hidden = [False] * len(text)
        letters = list(_letters(text))
        packed = "".join(letter for letter, *_ in letters)
        found = [(i, RUN) for i in range(len(packed) - RUN + 1) if packed[i : i + RUN] in self._runs]
        found += [(m.start(), len(s)) for s in self._short for m in re.finditer(re.escape(s), packed)]
        for start, length in found:
            first, last = letters[start][1], letters[start + length - 1][2]
            hidden[first:last] = [True] * (last - first)
        return hidden


def _letters(text: str) -> Iterator[tuple[str, int, int]]:
    """Each letter and digit of a text, decoded, with the span of what encodes it."""
    for match in LETTER.finditer(text):
        for letter in unicodedata.normalize("NFKC", _decode(match[0])).casefold():
            if letter.isalnum():
                yield letter, *match.span()


def _decode(escape: str) -> str:
    if len(escape) == 1:
        return escape
    return html.unescape(escape) if escape[0] == "&" else chr(int(escape.lstrip("\\ux%"), 16))


def _plain(text: str) -> str:
    return "".join(letter for letter, *_ in _letters(text))


def _forms(secret: str) -> list[str]:
    raw = secret.encode()
    # base64 of a longer text holds it in one of three alignments; the ends depend on what stands beside it
    coded = [base64.b64encode(raw[shift:]).decode().rstrip("=")[:-1] for shift in range(3)]
    coded += [base64.b32encode(raw[shift:]).decode().rstrip("=")[:-1] for shift in range(5)]
    coded += [base64.b85encode(raw).decode()]
    # of these, what is as short as a word would be found in many
    return [secret, secret[::-1], raw.hex(), *(form for form in coded if len(_plain(form)) >= RUN)]


def url_secrets(url: str) -> list[str]:
    """The secrets in a URL: user, password, and the values of its query."""
    parts = urlsplit(url)
    userinfo = parts.netloc.rpartition("@")[0]
    found = [userinfo, *userinfo.split(":"), *(value for _, value in parse_qsl(parts.query)), parts.query]
    return [text for part in found if part for text in {part, unquote(part)}]


def check_url(url: str, where: str) -> None:
    """Raises ValueError, without secrets, where a URL is none of a server."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an end, a port that is no number or too large
        right = False
    if not right or not url.isprintable() or " " in url:
        raise ValueError(f"{where} is no URL of a server: give one as http://127.0.0.1:8000/v1")


def redact_logs(redact: Redactor) -> None:
    """Has the loggers of the HTTP libraries redact their records from now on."""

    def redact_record(record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        return True

    for name in LOGGERS:
        logging.getLogger(name).addFilter(redact_record)
