"""Our FID and torch-fidelity's on the same features: `python -m benchmarks.fidelity [--json]`; needs the extra `evals`.

The features are drawn from a seed, with a spectrum that falls as those of images do, as many numbers as Inception has.
Compared are the figures and the seconds from features to figure, both sides in turn: torch-fidelity takes the
eigenvalues of a product that is not symmetric, ours those of symmetric matrices, as large as the fewer of images and
features. `--images DIR --real DIR` take the features of images by Inception instead (`--inception FILE`).
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness import command, made_with, over, show
from benchmarks.cpu_torchvision import allow_cpu_torchvision

allow_cpu_torchvision()  # before anything imports what looks for it: transformers

from common.errors import user_errors  # noqa: E402
from common.paths import user_path  # noqa: E402
from evals.fidelity.extractor import features_of  # noqa: E402
from evals.fidelity.frechet import frechet_distance  # noqa: E402
from evals.fidelity.inception import LAYERS, load_inception, torch_fidelity  # noqa: E402
from evals.image_sets import pictures_in  # noqa: E402


def drawn(count: int, width: int, seed: int) -> Tensor:
    """Features (count, width) with a falling spectrum; another seed moves their mean and scales them."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.arange(1, width + 1) ** -0.5
    mixed = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(0))).Q
    return (
        torch.randn(count, width, generator=generator) * spectrum * (1 + 0.05 * seed)
    ) @ mixed + 0.01 * seed


def theirs(a: Tensor, b: Tensor) -> float:
    """torch-fidelity's FID of features."""
    from torch_fidelity.metric_fid import (
        KEY_METRIC_FID,
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )

    sides = [fid_features_to_statistics(side) for side in (a, b)]
    return fid_statistics_to_metric(*sides, verbose=False)[KEY_METRIC_FID]


def timed(measure: Callable[[Tensor, Tensor], float], a: Tensor, b: Tensor) -> tuple[float, float]:
    """A figure, and the seconds that it took."""
    start = time.perf_counter()
    return measure(a, b), time.perf_counter() - start


def compare(a: Tensor, b: Tensor, rounds: int) -> dict[str, Any]:
    """Both sides in turn, on features (M, D) and (N, D)."""
    pairs = [(timed(frechet_distance, a, b), timed(theirs, a, b)) for _ in range(rounds)]
    ours, other = pairs[0][0][0], pairs[0][1][0]
    ratios = [their[1] / own[1] for own, their in pairs]
    return {
        **over(ratios, "speedup", digits=2),
        "images": [len(a), len(b)],
        "features": a.shape[1],
        "ours": ours,
        "torch_fidelity": other,
        "relative_difference": abs(ours - other) / abs(other),
        "our_seconds": round(statistics.median(own[1] for own, _ in pairs), 3),
        "their_seconds": round(statistics.median(their[1] for _, their in pairs), 3),
    }


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """What the options ask for."""
    torch_fidelity()
    if options.images is None:
        sets = {f"{n} images": [drawn(n, options.width, seed) for seed in (0, 1)] for n in options.counts}
    else:
        extractor = load_inception(options.inception, layers=LAYERS[:1])
        sides = [pictures_in(path) for path in (options.images, options.real)]
        sets = {"images": [features_of(side, extractor)[LAYERS[0]] for side in sides]}
    found: dict[str, Any] = {name: compare(*pair, options.rounds) for name, pair in sets.items()}
    return found | made_with("torch-fidelity", "numpy")


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = command("fidelity", __doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[200, 3000], help="images of each side")
    parser.add_argument("--width", type=int, default=int(LAYERS[0]), help="features (default: %(default)s)")
    parser.add_argument("--images", type=user_path, metavar="DIR", help="images in place of drawn features")
    parser.add_argument("--real", type=user_path, metavar="DIR", help="images to hold them against")
    parser.add_argument("--inception", type=user_path, metavar="FILE", help="weights (downloaded)")
    options = parser.parse_args(arguments)
    if (options.images is None) != (options.real is None):
        parser.error("--images and --real go together")
    with user_errors("benchmarks.fidelity"):
        found = measured(options)
    show(found, options.json)


if __name__ == "__main__":
    main()
