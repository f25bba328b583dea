"""What it costs to bring a drawn image to the tokenizer by way of what is seen: `python -m benchmarks.resizing [--json]`.

Pictures of 200 x 150 pixels, made of the playground's scenes, become codes in two ways: straight from the file to the
encoder's size, and from a square of twice that, as a model sees it in stage 3, which torch then resizes. The share of
codes that differ is what training and inference would disagree by.
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.harness import made_with, show
from common.paths import path_or_name
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


def differing(model: Illume, images: list[Image.Image]) -> dict[str, float]:
    """Shares of codes, and of images that have one, which differ between the two ways."""
    size = model.code_input.size
    straight = model.encode(torch.stack([model.code_input(image) for image in images]))
    seen = torch.stack([ImageInput(2 * size)(image) for image in images]).float()  # (B, 3, 2 S, 2 S)
    again = F.interpolate(seen, (size, size), mode="bicubic", antialias=True).round().clamp(0, 255)
    differ = straight != model.encode(again.to(torch.uint8))  # (B, N)
    return {
        "codes_that_differ": round(float(differ.float().mean()), 4),
        "images_with_one": round(float(differ.any(1).float().mean()), 4),
    }


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.resizing", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--model", type=path_or_name, default="pretrained/playground")
    parser.add_argument("--images", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="JSON alone")
    options = parser.parse_args(arguments)
    model = Illume.from_pretrained(options.model, only=("encoder", "tokenizer"))
    found = differing(model, pictures(options.images, options.seed))
    about = {"images": options.images, "seed": options.seed, **made_with("pillow")}
    show(found | about, options.json)


if __name__ == "__main__":
    main()
