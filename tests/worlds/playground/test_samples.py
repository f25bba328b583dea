"""Samples are pairs or documents."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from worlds.playground.samples import SAMPLERS


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_samples_are_pairs_or_documents(name: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        sample = SAMPLERS[name](rng)
        images = {ending for ending in sample if ending.endswith("png")}
        assert all(Image.open(io.BytesIO(sample[ending])).size == (48, 48) for ending in images)
        if name in ("pairs", "crowds"):
            assert set(sample) == {"png", "txt", "dense.txt"}
            continue
        parts = json.loads(sample["json"])["parts"]
        parts += [
            part for way in (parts.pop()["branches"] if "branches" in parts[-1] else []) for part in way
        ]
        assert {part[kind] for part in parts for kind in ("see", "draw") if kind in part} == images
        assert all(set(part) in ({"text", "learn"}, {"see"}, {"draw"}) for part in parts)
        assert any(part.get("learn") or "draw" in part for part in parts)
