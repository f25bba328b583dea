"""URLs as they may be shown: without user, password and query, which hold keys and signatures."""

import re
from urllib.parse import urlsplit

from common.terminal import printable

IN_TEXT = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>|]+")


def masked_url(url: str) -> str:
    """The URL without user, password, query and fragment."""
    try:
        split = urlsplit(url)
    except ValueError:  # brackets without an end
        return f"{printable(url.partition('://')[0])}://***"
    return printable(f"{split.scheme}://{split.netloc.rpartition('@')[2]}{split.path}")


def masked_urls(text: str) -> str:
    """Masks each URL in a text; any other text stays."""
    return IN_TEXT.sub(lambda found: masked_url(found[0]), text) if "://" in text else text
