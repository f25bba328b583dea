"""Keeps secrets out of what is written and shown: keys of the environment, credentials in URLs."""

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
LETTER = re.compile(
    r"&#?\w{1,8};|\\+u[0-9a-fA-F]{4}|\\+x[0-9a-fA-F]{2}|%[0-9a-fA-F]{2}|.", re.DOTALL
)  # or an escape
# Loggers that print requests with their URLs.
LOGGERS = (
    "httpx2",
    "openai",
    "openai._base_client",
    "httpcore2.connection",
    "httpcore2.http11",
    "httpcore2.http2",
    "httpcore2.proxy",
)


class Redactor:
    r"""Replaces secrets in text, whole or in part, also where they are disguised.

    What is looked at are letters and digits alone, without capitals, as wide forms and escapes (\u0073, %73, &#115;)
    mean them: so a secret with anything between its letters is found, and so are its reverse, its hex, base64, base32
    and base85. What a server that means harm may do beyond that, nobody can foresee: it has the key already.

    Args:
        secrets: texts to hide. One of fewer than 8 letters and no digit or sign ("none", "EMPTY") is no secret: servers
            that want no key are given such a word, and answers hold it as a word.
    """

    def __init__(self, *secrets: str) -> None:
        kept = [secret for secret in secrets if len(secret) >= RUN or (secret and not secret.isalpha())]
        forms = [_plain(form) for secret in kept for form in _forms(secret)]
        self._runs = {f[i : i + RUN] for f in forms for i in range(len(f) - RUN + 1)}
        short = {form for form in forms if SHORTEST <= len(form) < RUN}
        self._short = sorted(short, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without them."""
        hidden = self._hidden(text)
        if not any(hidden):
            return text
        marked = "".join("\0" if hide else letter for letter, hide in zip(text, hidden, strict=True))
        return re.sub("\0+", MASK, marked)

    def _hidden(self, text: str) -> list[bool]:
        """For each letter whether it belongs to a secret."""
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
    """Each letter and digit that a text means, and where what stands for it begins and ends."""
    for match in LETTER.finditer(text):
        for letter in unicodedata.normalize("NFKC", _meant(match[0])).casefold():
            if letter.isalnum():
                yield letter, *match.span()


def _meant(said: str) -> str:
    if len(said) == 1:
        return said
    return html.unescape(said) if said[0] == "&" else chr(int(said.lstrip("\\ux%"), 16))


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
    """What in a URL must not be shown: user, password, and the values of its query."""
    parts = urlsplit(url)
    userinfo = parts.netloc.rpartition("@")[0]
    found = [userinfo, *userinfo.split(":"), *(value for _, value in parse_qsl(parts.query)), parts.query]
    return [text for part in found if part for text in {part, unquote(part)}]


def check_url(url: str, where: str) -> None:
    """Makes sure that a URL is one of a server.

    Raises:
        ValueError: it is not; the message holds none of its secrets.
    """
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an end, a port that is no number or too large
        right = False
    if not right or not url.isprintable() or " " in url:
        raise ValueError(f"{where} is no URL of a server: give one as http://127.0.0.1:8000/v1")


class _RedactingFilter(logging.Filter):
    """Hides secrets in log records."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self.redact = redact

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True: the record is changed, not dropped."""
        record.msg, record.args = self.redact(record.getMessage()), None
        return True


def redact_logs(redact: Redactor) -> None:
    """Has the loggers of the HTTP libraries hide these secrets from now on."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_RedactingFilter(redact))
