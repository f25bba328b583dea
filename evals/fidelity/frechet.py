"""Frechet distances between the features of two sets of images.

Only the distance on Inception features may be called FID. `fd_encoder` takes the frozen encoder's: of each image the mean
and the standard deviation of its features over the grid.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.unified import Illume

BATCH = 100


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian in float64."""

    mean: Tensor  # (D,)
    covariance: Tensor  # (D, D), symmetric
    rows: Tensor | None = (
        None  # (N, D) with rows^T rows the covariance, where N < D: spares its decomposition
    )

    @classmethod
    def fit(cls, features: Tensor) -> "Gaussian":
        """The Gaussian of features (N, D). Raises ValueError if there are fewer than two."""
        if len(features) < 2:
            raise ValueError(f"a Frechet distance takes 2 images or more on each side, not {len(features)}")
        features = features.double()
        mean = features.mean(0)
        rows = (features - mean) / (len(features) - 1) ** 0.5
        return cls(mean, rows.T @ rows, rows if len(rows) < len(mean) else None)

    @property
    def root(self) -> Tensor:
        """(K, D), R with R^T R the covariance."""
        if self.rows is not None:
            return self.rows
        factor, failed = torch.linalg.cholesky_ex(self.covariance)
        if not failed:
            return factor.T
        values, vectors = torch.linalg.eigh(self.covariance)  # it has no full rank
        return values.clamp_min(0).sqrt()[:, None] * vectors.T


def gaussian_distance(a: Gaussian, b: Gaussian) -> float:
    """Frechet distance of two Gaussians, with symmetric matrices alone.

    The trace of sqrt(S T) is the sum of the roots of the eigenvalues of R T R^T, where R^T R = S.
    """
    if b.rows is not None and (a.rows is None or len(b.rows) < len(a.rows)):
        a, b = b, a
    root = a.root
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root.T).clamp_min(0).sqrt().sum()
    apart = (a.mean - b.mean).square().sum()
    return float(apart + a.covariance.trace() + b.covariance.trace() - 2 * cross)


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Distance of the Gaussians fitted to features (M, D) and (N, D), in float64."""
    return gaussian_distance(Gaussian.fit(a), Gaussian.fit(b))


@torch.no_grad()
def encoder_statistics(model: Illume, images: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 -> (B, 2 D): mean and standard deviation of the encoder's features over the grid."""
    features = torch.cat([model.features(batch) for batch in images.split(BATCH)])
    return torch.cat([features.mean(1), features.std(1)], 1)


def fd_encoder(model: Illume, images: Tensor, real: Tensor) -> float:
    """Frechet distance on the frozen encoder's features."""
    return frechet_distance(encoder_statistics(model, images), encoder_statistics(model, real))
