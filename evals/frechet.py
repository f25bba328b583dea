"""Frechet distances between two sets of images, by the features of a frozen encoder or of Inception.

Only the distance on Inception features may be called FID. `fd_encoder` takes the frozen encoder's: each image by the
mean and the standard deviation of its features over the grid.
"""

import torch
from torch import Tensor

from models.unified import Illume

BATCH = 100


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Distance of the Gaussians fitted to features (M, D) and (N, D), in float64; symmetric matrices throughout."""
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


def fid(images: Tensor, real: Tensor, inception: str) -> float:
    """FID by torchmetrics, on Inception weights given by path (the torch-fidelity file); needs the extra `evals`."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=2048, feature_extractor_weights_path=inception)
    for part in real.split(BATCH):
        metric.update(part, real=True)
    for part in images.split(BATCH):
        metric.update(part, real=False)
    return float(metric.compute())
