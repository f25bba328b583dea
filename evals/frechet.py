"""Frechet distances between two sets of images, by the features of a frozen encoder or of Inception.

Only the distance on Inception features may be called FID. `fd_encoder` takes the frozen encoder's: each image by the
mean and the standard deviation of its features over the grid.
"""

import pickle
from pathlib import Path

import torch
from torch import Tensor

from models.unified import Illume

BATCH = 100


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Distance of the Gaussians fitted to features (M, D) and (N, D), in float64; symmetric matrices throughout."""
    if min(len(a), len(b)) < 2:
        raise ValueError(f"a Frechet distance takes 2 images or more on each side, not {len(a)} and {len(b)}")
    a, b = a.double(), b.double()
    s, t = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(s)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ t @ root).clamp_min(0).sqrt().sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + s.trace() + t.trace() - 2 * cross)


@torch.no_grad()
def encoder_statistics(model: Illume, images: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 -> (B, 2 D): mean and standard deviation of the encoder's features over the grid."""
    parts = [model.features(part) for part in images.split(BATCH)]
    features = torch.cat(parts)
    return torch.cat([features.mean(1), features.std(1)], 1)


def fd_encoder(model: Illume, images: Tensor, real: Tensor) -> float:
    """Frechet distance on the frozen encoder's features."""
    return frechet_distance(encoder_statistics(model, images), encoder_statistics(model, real))


def check_inception(weights: Path) -> None:
    """Makes sure that a file holds tensors and nothing else, before a less careful loader opens it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no file of tensors by name.
    """
    if not weights.is_file():
        raise FileNotFoundError(
            f"there are no Inception weights at {weights}: give their path, or leave it out"
        )
    try:
        tensors = torch.load(weights, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"{weights} does not load as plain tensors, so it is not opened") from error
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise ValueError(f"{weights} holds no Inception weights: give a file of tensors by name")


def fid(images: Tensor, real: Tensor, inception: Path) -> float:
    """FID by torchmetrics, on Inception weights given by path (the torch-fidelity file); needs the extra `evals`."""
    check_inception(inception)  # torch-fidelity itself loads without weights_only
    from torchmetrics.image.fid import FrechetInceptionDistance

    try:
        metric = FrechetInceptionDistance(feature=2048, feature_extractor_weights_path=str(inception))
    except ModuleNotFoundError as error:
        raise ValueError(
            "FID needs torch-fidelity, and a torchvision of torch's own build: see the extra `evals` in pyproject.toml"
        ) from error
    for part in real.split(BATCH):
        metric.update(part, real=True)
    for part in images.split(BATCH):
        metric.update(part, real=False)
    return float(metric.compute())
