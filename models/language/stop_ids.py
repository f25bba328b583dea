"""The ids that end a published model's answers beside its template's own: Llama 3 names three in its configs."""

from collections.abc import Sequence
from typing import Any

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from common.json_files import read_object
from models.published import find_file


def special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids of tokens that no text of a user makes: the special ones, and those added behind the vocabulary."""
    return {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}


def published_stop_ids(
    source: str, revision: str, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase
) -> list[int]:
    """Every id that generation_config.json or config.json calls an end, if it is a special token's.

    A config without one has its class's default, which in another tokenizer is a word: that ends no answer.

    Raises:
        ValueError: an end is no id; the message names the file.
    """
    path = find_file(source, revision, "generation_config.json")
    ids = [] if path is None else _ids(read_object(path).get("eos_token_id"), str(path))
    ids += _ids(getattr(config, "eos_token_id", None), f"{source}/config.json")
    known = special_ids(tokenizer)
    return [i for i in dict.fromkeys(ids) if i in known]


def check_stop_ids(stop_ids: Sequence[int] | None, rows: int) -> tuple[int, ...]:
    """The ids of a config that end an answer, each one of the `rows` that text has."""
    ids = tuple(stop_ids or ())
    if not all(type(i) is int and 0 <= i < rows for i in ids):
        raise ValueError(f"stop_ids must be ids below {rows}: {str(stop_ids)[:60]}")
    return ids


def _ids(value: Any, where: str) -> list[int]:
    ids = [] if value is None else value if isinstance(value, list) else [value]
    if not all(type(i) is int for i in ids):
        raise ValueError(f"{where}: eos_token_id {str(value)[:60]} must be an id, or a list of ids")
    return ids
