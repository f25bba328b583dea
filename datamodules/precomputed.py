"""Precomputed codes and features of images, as members of the samples.

`codes.FINGERPRINT.npy` of a raw pair, `0.codes.FINGERPRINT.npy` of a document's image 0.png, and so with `features`. The
fingerprint is of the components that computed them and of how images came to these, so that stale ones are refused
wherever the shard came from.
"""

import io
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

MEMBER = re.compile(r"(?:(?P<name>.+)\.)?(?P<kind>codes|features)\.(?P<fingerprint>[0-9a-f]{12})\.npy")


class StaleCodes(Exception):
    """Precomputed codes or features are of another tokenizer or encoder: all of the shards' will be, so the run stops."""


def member_name(image: str, kind: str) -> str:
    """The name of an image's codes or features: "codes" of a raw pair's "png", "0.codes" of a document's "0.png"."""
    name = image.rpartition(".")[0]
    return f"{name}.{kind}" if name else kind


def to_npy(values: np.ndarray) -> bytes:
    """Codes (N,) or features (N, D) as the bytes of a member; codes in as few as hold them."""
    if values.dtype.kind == "i":
        values = values.astype(np.uint16 if values.max(initial=0) < 2**16 else np.int32)
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def read_precomputed(sample: Mapping[str, Any], fingerprints: Mapping[str, str]) -> dict[str, Any]:
    """The sample with its codes (lists) and features (tensors) read, under `member_name`.

    Args:
        sample: bytes by ending.
        fingerprints: what each kind must bear; a kind that is missing is left alone.

    Raises:
        StaleCodes: it bears another.
        ValueError: it cannot be read.
    """
    read = dict(sample)
    for ending in sample:
        found = MEMBER.fullmatch(ending)
        if found is None or found["kind"] not in fingerprints:
            continue
        kind, wanted = found["kind"], fingerprints[found["kind"]]
        if found["fingerprint"] != wanted:
            raise StaleCodes(
                f"{sample['__url__']} has {kind} of another model or an older version "
                f"(fingerprint {found['fingerprint']}, this run's is {wanted}): "
                "compute them again with `python -m datamodules.tokenize`"
            )
        read[f"{found['name']}.{kind}" if found["name"] else kind] = _from_npy(sample[ending], kind)
    return read


def _from_npy(content: bytes, kind: str) -> list[int] | torch.Tensor:
    try:
        values = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{kind} cannot be read: {error}") from error
    if kind == "codes" and (values.ndim != 1 or values.dtype.kind not in "iu"):
        raise ValueError("codes are not a row of whole numbers")
    if kind == "features" and (values.ndim != 2 or values.dtype.kind != "f"):
        raise ValueError("features are not rows of numbers")
    return values.tolist() if kind == "codes" else torch.from_numpy(values)
