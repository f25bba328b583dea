"""The playground as tensors: held-out scenes, their images, and what the judge reads in images."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from playground.judge import Reading, read
from playground.render import render
from playground.sampler import sample_scene
from playground.scene import CATEGORIES, Scene


def held_out_scenes(count: int, seed: int = 0) -> list[Scene]:
    """Scenes that show combinations no training scene does, the six categories in turn."""
    rng = np.random.default_rng([seed, 21])
    return [sample_scene(rng, CATEGORIES[i % len(CATEGORIES)], held_out=True) for i in range(count)]


def any_scenes(count: int, seed: int = 0) -> list[Scene]:
    """Scenes of all kinds in turn, free ones too, held out or not."""
    rng = np.random.default_rng([seed, 22])
    kinds = (*CATEGORIES, "mixed")
    return [sample_scene(rng, kinds[i % len(kinds)], held_out=None) for i in range(count)]


def render_all(scenes: Sequence[Scene]) -> Tensor:
    """Scenes -> images (B, 3, H, W) uint8."""
    return torch.from_numpy(np.stack([render(scene) for scene in scenes])).permute(0, 3, 1, 2).contiguous()


def read_all(images: Tensor) -> list[Reading]:
    """What the judge sees in images (B, 3, H, W) uint8."""
    return read(np.ascontiguousarray(images.permute(0, 2, 3, 1).cpu().numpy()))


def sample_seeds(count: int, seed: int) -> list[int]:
    """A seed of its own for each of `count` samples, disjoint for different `seed`."""
    return [seed * 1_000_000 + i for i in range(count)]


def in_batches(step: Callable[[slice], Tensor], count: int, batch: int) -> Tensor:
    """Runs `step` on slices of at most `batch` of `count` rows; its tensors joined, on the CPU."""
    return torch.cat([step(slice(i, i + batch)).cpu() for i in range(0, count, batch)])


def mean(values: Sequence[float]) -> float:
    """The mean, as a plain number."""
    return float(np.mean(values))
