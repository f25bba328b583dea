"""Codes that change if an image is resized twice before it is tokenized: `python -m benchmarks.resizing [--json]`.

Pictures of 200 x 150 pixels, made of the playground's scenes, become codes on two paths: straight from the file to the
encoder's size, and from a square of twice that, as a model sees it in stage 3, which torch then resizes. The share of
codes that differ is what training and inference would disagree by.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.harness import run
from models.image_input import ImageInput
from models.unified import Illume
from worlds.playground.render import render
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import CATEGORIES

SIZE = (200, 150)


def pictures(count: int, seed: int) -> list[Image.Image]:
    """Scenes of all categories, enlarged."""
    rng = np.random.default_rng(seed)
    scenes = [sample_scene(rng, CATEGORIES[i % len(CATEGORIES)]) for i in range(count)]
    return [Image.fromarray(render(scene)).resize(SIZE, Image.Resampling.BICUBIC) for scene in scenes]


def code_differences(model: Illume, images: list[Image.Image]) -> dict[str, float]:
    """Shares of codes, and of images that have one, which differ between the two paths."""
    size = model.code_input.size
    straight = model.encode(torch.stack([model.code_input(image) for image in images]))
    seen = torch.stack([ImageInput(2 * size)(image) for image in images]).float()  # (B, 3, 2 S, 2 S)
    resized = F.interpolate(seen, (size, size), mode="bicubic", antialias=True).round().clamp(0, 255)
    differ = straight != model.encode(resized.to(torch.uint8))  # (B, N)
    return {
        "codes_that_differ": round(float(differ.float().mean()), 4),
        "images_with_one": round(float(differ.any(1).float().mean()), 4),
    }


def measure(model: str = "pretrained/playground", images: int = 64, seed: int = 0) -> dict[str, Any]:
    """Compares codes of both paths.

    Args:
        model: a model folder.
        images: how many.
        seed: of the images.
    """
    parts = Illume.from_pretrained(model, only=("encoder", "tokenizer"))
    return code_differences(parts, pictures(images, seed)) | {"images": images, "seed": seed}


if __name__ == "__main__":
    run(measure, "pillow")
