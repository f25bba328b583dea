"""Codes and features made ahead of time.

They are members of the samples: `codes.STAMP.npy` of a raw pair, `0.codes.STAMP.npy` of a document's image 0.png, and the
same with `features`.

The stamp names the parts that made them, and the way in which images came to these, so stale ones are refused wherever
the shard came from.
"""

import io
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

MEMBER = re.compile(r"(?:(?P<name>.+)\.)?(?P<kind>codes|features)\.(?P<stamp>[0-9a-f]{12})\.npy")


class StaleCodes(Exception):
    """What was made ahead is of another tokenizer or encoder: the run must stop, for all of it will be."""


def member_name(image: str, kind: str, stamp: str) -> str:
    """The ending of the codes or features of an image: "png" of a raw pair, or "0.png" of a document."""
    name = image.rpartition(".")[0]
    return f"{name}.{kind}.{stamp}.npy" if name else f"{kind}.{stamp}.npy"


def packed(values: np.ndarray) -> bytes:
    """Codes (N,) or features (N, D) as the bytes of a member; codes in as few as hold them."""
    if values.dtype.kind == "i":
        values = values.astype(np.uint16 if values.max(initial=0) < 2**16 else np.int32)
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def made_ahead(sample: Mapping[str, Any], image: str, kind: str) -> Any | None:
    """What `with_made_ahead` has read for an image, if there was something."""
    name = image.rpartition(".")[0]
    return sample.get(f"{name}.{kind}" if name else kind)


def with_made_ahead(sample: Mapping[str, Any], stamps: Mapping[str, str]) -> dict[str, Any]:
    """The sample with its codes (lists) and features (tensors) read, for `made_ahead` to find.

    Args:
        sample: bytes by ending.
        stamps: what each kind must bear; a kind that is not here is left alone.

    Raises:
        StaleCodes: it bears another stamp.
        ValueError: it cannot be read.
    """
    read = dict(sample)
    for ending in sample:
        found = MEMBER.fullmatch(ending)
        if found is None or found["kind"] not in stamps:
            continue
        wanted = stamps[found["kind"]]
        if found["stamp"] != wanted:
            raise StaleCodes(
                f"{sample['__url__']} has {found['kind']} of another model or an older version (stamp {found['stamp']}, "
                f"this run's is {wanted}): make them anew with `python -m datamodules.tokenize`"
            )
        name = f"{found['name']}.{found['kind']}" if found["name"] else found["kind"]
        read[name] = _read(sample[ending], found["kind"])
    return read


def _read(content: bytes, kind: str) -> Any:
    try:
        values = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{kind} cannot be read: {error}") from error
    if kind == "codes" and (values.ndim != 1 or values.dtype.kind not in "iu"):
        raise ValueError("codes are not a row of whole numbers")
    if kind == "features" and (values.ndim != 2 or values.dtype.kind != "f"):
        raise ValueError("features are not rows of numbers")
    return values.tolist() if kind == "codes" else torch.from_numpy(values)
