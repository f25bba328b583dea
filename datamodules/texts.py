"""Texts of shards, in order and the same for every rank: what a text tokenizer is trained on."""

import logging
from collections.abc import Iterator
from typing import Any

from common.terminal import printable
from datamodules.decode import sample_json
from datamodules.remote import Unreachable, local_copy
from datamodules.shard import BrokenShard, Sample, Shard
from datamodules.shard_paths import find_shards

log = logging.getLogger(__name__)
LIMIT = 20_000


def read_texts(shards: str, setting: str, limit: int = LIMIT) -> list[str]:
    """Texts of documents, dialogues and raw pairs, shard by shard until there are enough.

    Args:
        shards: folders, brace patterns or URLs.
        setting: that names them, for messages.
        limit: texts after which no further shard is opened.

    Raises:
        ValueError: a shard cannot be read to its end, or holds no texts; the message names it.
    """
    texts: list[str] = []
    try:
        for path in find_shards(shards):
            found = _texts_of_shard(path)
            if not found:
                raise ValueError(f"{path} holds no texts: name shards with txt or json")
            texts += found
            if len(texts) >= limit:
                break
    except (ValueError, OSError) as error:
        raise ValueError(f"{setting}: {error}") from error
    return texts


def _texts_of_shard(path: str) -> list[str]:
    texts: list[str] = []
    failed: list[str] = []
    try:
        with local_copy(path) as local:
            shard = Shard(local)
            for number, entry in enumerate(shard.entries):
                try:
                    texts += texts_of(shard.read(number))
                except (ValueError, TypeError, AttributeError) as error:  # json may hold anything
                    failed.append(f"{entry.key}: {error}")
            shard.close()
            if shard.cut is not None:
                raise BrokenShard(shard.cut)
    except (BrokenShard, Unreachable) as error:
        raise ValueError(
            f"{path} cannot be read ({error}): mend it, or leave it out; "
            f"`python -m datamodules.doctor {path}` reports more"
        ) from error
    if failed:
        log.warning("%d samples of %s give no texts: %s", len(failed), printable(path), printable(failed[0]))
    return texts


def texts_of(sample: Sample) -> list[str]:
    """The texts of a document, a dialogue or a captioned image."""
    texts = list(_texts_of_json(sample_json(sample))) if "json" in sample else []
    return texts + [sample[key].decode() for key in ("txt", "dense.txt") if key in sample]


def _texts_of_json(content: Any) -> Iterator[str]:
    parts = list(content.get("parts", ()))
    parts += [part for last in parts for branch in last.get("branches", ()) for part in branch]
    turns = content.get("conversations") or content.get("messages") or []
    for part in [*parts, *turns]:
        yield from (part[key] for key in ("text", "value", "content") if isinstance(part.get(key), str))
