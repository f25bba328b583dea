"""Configs of the published parts that the recipes name, for where the hub is out of reach."""

import json
import os
import socket
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from huggingface_hub import constants, try_to_load_from_cache
from transformers import PreTrainedTokenizerBase

from models.language.text_tokenizer import blank_text_tokenizer

FOLDER = Path(__file__).parent / "published"
WAIT = 2.0  # seconds for the hub to be there


def kept(name: str) -> dict[str, Any] | None:
    """What is kept of a published part: its folder here, whence it is, and of a language model the number of pieces."""
    return json.loads((FOLDER / "index.json").read_text(encoding="utf-8")).get(name)


def kept_folder(name: str) -> Path | None:
    """The folder whose configs stand in for those of a name on the hub; None: the name itself is read.

    It is read where it can be: what is kept is for machines without a network.
    """
    said = kept(name)
    if said is None or Path(name).is_dir() or _is_cached(name) or hub_answers():
        return None
    return FOLDER / said["folder"]


def kept_words(name: str) -> PreTrainedTokenizerBase | None:
    """A text tokenizer of as many pieces as a published one's, which spells a word as one piece."""
    said = kept(name)
    if said is None or "pieces" not in said or kept_folder(name) is None:
        return None
    words = blank_text_tokenizer(said["pieces"], said["special"])
    words.chat_template = said.get("chat_template")
    return words


def _is_cached(name: str) -> bool:
    return any(
        isinstance(try_to_load_from_cache(name, file), str) for file in ("config.json", "unet/config.json")
    )


@cache
def hub_answers() -> bool:
    """Whether the hub, or the proxy before it, can be reached from here."""
    if constants.HF_HUB_OFFLINE:
        return False
    proxy = os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY")
    address = urlparse(proxy or constants.ENDPOINT)
    try:
        with socket.create_connection((address.hostname, address.port or 443), WAIT):
            return True
    except OSError:
        return False
