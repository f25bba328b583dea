"""Tokenizer and detokenizer: what decode(encode(image)) keeps of held-out scenes, and what diffusion adds."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evals.fidelity.frechet import fd_encoder
from evals.playground.sharpness import sharpness
from judges.pixels import render_scenes, to_numpy
from models.detokenizer.diffusion import to_uint8
from models.unified import Illume
from worlds.playground.judge import read, same_scene
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import CATEGORIES, Scene

BATCH = 100


@dataclass(frozen=True)
class Reconstructions:
    """Real images, what the whole detokenizer made of their codes, and its stem alone (None without one)."""

    scenes: list[Scene]
    real: Tensor
    whole: Tensor
    stem: Tensor | None


@torch.no_grad()
def reconstruct(model: Illume, samples: int = 600, seed: int = 0) -> Reconstructions:
    """Encodes and decodes held-out scenes, as many of each category."""
    rng = np.random.default_rng([seed, 99])
    scenes = [sample_scene(rng, CATEGORIES[i % len(CATEGORIES)], True) for i in range(samples)]
    real = render_scenes(scenes)
    whole, stem = [], []
    for start, part in zip(range(0, samples, BATCH), real.split(BATCH), strict=True):
        codes = model.encode(part)
        whole.append(model.decode(codes, list(range(start, start + len(part)))))
        if model.detokenizer.stem is not None:
            stem.append(to_uint8(model.detokenizer.stem(model.tokenizer.decode(codes))))
    return Reconstructions(scenes, real, torch.cat(whole).cpu(), torch.cat(stem).cpu() if stem else None)


def exact_match(images: Tensor, scenes: list[Scene]) -> float:
    """The share of images in which the judge reads every object of the scene, and nothing else."""
    return float(np.mean([same_scene(r, s) for r, s in zip(read(to_numpy(images)), scenes, strict=True)]))


def reconstruction_scores(model: Illume, rebuilt: Reconstructions) -> dict[str, float]:
    """Exact matches, sharpness and Frechet distance of the whole detokenizer, and of its stem alone."""
    scores: dict[str, float] = {
        "reconstruction/judge_on_truth": exact_match(rebuilt.real, rebuilt.scenes),
        "reconstruction/stem": float(rebuilt.stem is not None),  # whether a stem feeds the diffusion
    }
    for name, images in (("reconstruction", rebuilt.whole), ("stem_alone", rebuilt.stem)):
        if images is None:
            continue
        scores[f"{name}/exact"] = exact_match(images, rebuilt.scenes)
        scores |= {f"{name}/sharpness_{band}": v for band, v in sharpness(images, rebuilt.real).items()}
        scores[f"{name}/fd_encoder"] = fd_encoder(model, images, rebuilt.real)
    return scores
