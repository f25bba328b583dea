"""Configs of the published models that recipes name, for where the hub is out of reach."""

import json
import os
import socket
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from huggingface_hub import constants, try_to_load_from_cache
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

FOLDER = Path(__file__).parent / "published"
WAIT = 2.0  # seconds for the hub to be there


def kept_config(name: str) -> dict[str, Any] | None:
    """What stands in for a name on the hub; None: the name itself is read, where it can be.

    index.json has of each its folder here, where it is from, and of a language model the number of pieces of its
    tokenizer, special ones and chat template.
    """
    kept = json.loads((FOLDER / "index.json").read_text(encoding="utf-8")).get(name)
    files = ("config.json", "unet/config.json")
    is_cached = any(isinstance(try_to_load_from_cache(name, file), str) for file in files)
    return None if kept is None or Path(name).is_dir() or is_cached or hub_answers() else kept


def blank_text_tokenizer(size: int, special: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A tokenizer of `size` pieces to which each word and each mark is one piece, the same.

    Args:
        size: pieces, the special ones among them.
        special: pieces that stand for themselves; the first begins a text, the last ends it.
    """
    pieces = [*special, *(f"piece {number}" for number in range(size - len(special)))]
    model = models.WordLevel({piece: id_ for id_, piece in enumerate(pieces)}, unk_token=pieces[-1])
    tokenizer = Tokenizer(model)
    split = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split)
    ends = {"bos_token": special[0], "eos_token": special[-1]} if special else {}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, additional_special_tokens=[*special], **ends)


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
