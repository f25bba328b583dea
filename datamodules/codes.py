"""Codes made ahead of time: members `codes.STAMP.npy` of a raw pair and `0.codes.STAMP.npy` of a document's image 0.png.

The stamp names the encoder and tokenizer that made them, so stale codes are refused wherever the shard came from.
"""

import io
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

CODES = "codes"  # under this ending, or NAME.codes, a sample holds its codes once they are read
MEMBER = re.compile(r"(?:(?P<name>.+)\.)?codes\.(?P<stamp>[0-9a-f]{12})\.npy")


class StaleCodes(Exception):
    """The codes of a shard are those of another tokenizer: the run must stop, for all of them will be."""


def member_name(image: str, stamp: str) -> str:
    """The ending of the codes of an image: "png" of a raw pair, or "0.png" of a document."""
    name = image.rpartition(".")[0]
    return f"{name}.codes.{stamp}.npy" if name else f"codes.{stamp}.npy"


def packed(codes: np.ndarray) -> bytes:
    """Codes (N,) as the bytes of a member."""
    buffer = io.BytesIO()
    np.save(buffer, codes.astype(np.uint16 if codes.max(initial=0) < 2**16 else np.int32), allow_pickle=False)
    return buffer.getvalue()


def with_codes(sample: Mapping[str, Any], stamp: str | None) -> dict[str, Any]:
    """The sample with its codes read, under `codes` or `NAME.codes`. Without a stamp they are left alone.

    Raises:
        StaleCodes: they bear another stamp.
        ValueError: they cannot be read.
    """
    read = dict(sample)
    for ending in sample if stamp is not None else ():
        found = MEMBER.fullmatch(ending)
        if found is None:
            continue
        if found["stamp"] != stamp:
            raise StaleCodes(
                f"{sample['__url__']} has codes of another tokenizer (stamp {found['stamp']}, this run's is {stamp}): "
                "make them anew with `python -m datamodules.tokenize`"
            )
        try:
            codes = np.load(io.BytesIO(sample[ending]), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(f"codes cannot be read: {error}") from error
        if codes.ndim != 1 or codes.dtype.kind not in "iu":
            raise ValueError("codes are not a row of whole numbers")
        read[f"{found['name']}.{CODES}" if found["name"] else CODES] = codes.tolist()
    return read
