"""Our FID and torch-fidelity's on the same features: `python -m benchmarks.fidelity [--json]`; needs the extra `evals`.

The features are drawn from a seed, with a spectrum that falls as those of images do, as many numbers as Inception has.
Compared are the figures and the seconds from features to figure: torch-fidelity takes the
eigenvalues of a product that is not symmetric, ours those of symmetric matrices, as large as the fewer of images and
features. `--images DIR --real DIR` take the features of images by Inception instead (`--inception FILE`).
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.cpu_torchvision import allow_cpu_torchvision
from benchmarks.harness import alternate, run

allow_cpu_torchvision()  # before anything imports what looks for it: transformers

from evals.fidelity.extractor import features_of  # noqa: E402
from evals.fidelity.frechet import frechet_distance  # noqa: E402
from evals.fidelity.inception import LAYERS, load_inception, torch_fidelity  # noqa: E402
from evals.image_sets import image_files  # noqa: E402


def random_features(count: int, width: int, seed: int) -> Tensor:
    """Features (count, width) with a falling spectrum; another seed moves their mean and scales them."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.arange(1, width + 1) ** -0.5
    mixed = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(0))).Q
    return (
        torch.randn(count, width, generator=generator) * spectrum * (1 + 0.05 * seed)
    ) @ mixed + 0.01 * seed


def their_fid(a: Tensor, b: Tensor) -> float:
    """torch-fidelity's FID of features."""
    from torch_fidelity.metric_fid import (
        KEY_METRIC_FID,
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )

    sides = [fid_features_to_statistics(side) for side in (a, b)]
    return fid_statistics_to_metric(*sides, verbose=False)[KEY_METRIC_FID]


def compare(a: Tensor, b: Tensor, rounds: int) -> dict[str, Any]:
    """Compares both sides on features (M, D) and (N, D)."""
    ours, theirs = frechet_distance(a, b), their_fid(a, b)
    pairs = alternate(lambda: their_fid(a, b), lambda: frechet_distance(a, b), rounds)
    return {
        **pairs.speedup(),
        "images": [len(a), len(b)],
        "features": a.shape[1],
        "ours": ours,
        "torch_fidelity": theirs,
        "relative_difference": abs(ours - theirs) / abs(theirs),
        "our_seconds": round(pairs.our_median, 3),
        "their_seconds": round(pairs.their_median, 3),
    }


def measure(
    rounds: int = 5,
    counts: tuple[int, ...] = (200, 3000),
    width: int = int(LAYERS[0]),
    images: Path | None = None,
    real: Path | None = None,
    inception: Path | None = None,
) -> dict[str, Any]:
    """Compares both sides on random features or on those of images.

    Args:
        rounds: of both sides.
        counts: images of each side.
        width: numbers in a feature.
        images: folder of images in place of random features.
        real: folder of images to compare them to.
        inception: file of its weights, which are downloaded otherwise.
    """
    if (images is None) != (real is None):
        raise ValueError("--images and --real go together")
    torch_fidelity()
    if images is None or real is None:
        sets = {f"{n} images": [random_features(n, width, seed) for seed in (0, 1)] for n in counts}
    else:
        extractor = load_inception(inception, layers=LAYERS[:1])
        sides = [image_files(path) for path in (images, real)]
        sets = {"images": [features_of(side, extractor)[LAYERS[0]] for side in sides]}
    return {name: compare(*pair, rounds) for name, pair in sets.items()}


if __name__ == "__main__":
    run(measure, "torch-fidelity", "numpy")
