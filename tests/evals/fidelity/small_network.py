"""A small network in Inception's place, sets of pictures, and what puts it into the suites."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from evals.fidelity.extractor import Extractor

LAYERS = ("16", "logits")


class Small(nn.Module):
    """Images (B, 3, H, W) uint8 to 16 features and 10 logits; notes how many images it has seen."""

    def __init__(self) -> None:
        super().__init__()
        weights = torch.Generator().manual_seed(0)
        self.features = nn.Parameter(torch.randn(192, 16, generator=weights))
        self.classes = nn.Parameter(torch.randn(16, 10, generator=weights))
        self.seen = 0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 16) and (B, 10)."""
        self.seen += len(images)
        pooled = nn.functional.adaptive_avg_pool2d(images.float() / 255, 8).flatten(1)
        features = (pooled @ self.features).tanh()
        return features, features @ self.classes


def small_extractor() -> Extractor:
    """An extractor of the small network."""
    return Extractor(
        Small().eval(), LAYERS, {"extractor": "small", "weights_sha256": "0" * 64, "resize": "to 8 x 8"}
    )


def paint(folder: Path, names: list[str], seed: int, sizes: tuple[int, ...] = (24,)) -> Path:
    """Noise of a tint of its own in each file."""
    rng = np.random.default_rng(seed)
    for i, name in enumerate(names):
        side = sizes[i % len(sizes)]
        noise = rng.integers(0, 80, (side, side, 3)) + rng.integers(0, 175, 3)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.astype(np.uint8)).save(folder / name)
    return folder


def write_mjhq(folder: Path, categories: tuple[str, ...], each: int, images: bool = True) -> Path:
    """MJHQ-30K's layout, in small: prompts of all categories in turn, ids as long as the real ones."""
    said = {
        f"{number * len(categories) + i:040x}": {"category": name, "prompt": f"{name} number {number}"}
        for number in range(each)
        for i, name in enumerate(categories)
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta_data.json").write_text(json.dumps(said))
    if images:
        paint(
            folder / "mjhq30k_imgs",
            [f"{one['category']}/{key}.jpg" for key, one in said.items()],
            7,
            (40, 24),
        )
    return folder
