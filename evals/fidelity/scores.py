"""FID, KID and IS of features: the distance is ours (`frechet.py`), KID and IS are torch-fidelity's own functions.

Source: FID arXiv 1706.08500, KID arXiv 1801.01401, IS arXiv 1606.03498; sizes and seed are torch-fidelity's defaults.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evals.fidelity.extractor import BATCH, Features
from evals.fidelity.frechet import Gaussian, frechet_distance, gaussian_distance
from evals.fidelity.inception import LAYERS, load_inception

log = logging.getLogger(__name__)

KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000
IS_SPLITS = 10
SEED = 2020  # of KID's subsets and IS's splits
ENOUGH = 2048  # images: with fewer than Inception has features, the covariance has no full rank


def all_scores(
    generated: Features,
    real: Features | Gaussian,
    layers: Sequence[str],
    groups: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Any]:
    """FID, KID and IS, and what they were computed on; against statistics of the first layer there is no KID.

    `groups` are rows of both sides that have an FID of their own, by name.
    """
    drawn = generated[layers[0]]
    report: dict[str, Any]
    if isinstance(real, Gaussian):
        report = {"fid": gaussian_distance(Gaussian.fit(drawn), real), "real_samples": None}
        fewest = len(drawn)
    else:
        target = real[layers[0]]
        report = {"fid": frechet_distance(drawn, target)} | kid(drawn, target)
        report["real_samples"] = len(target)
        fewest = min(len(drawn), len(target))
        for name, rows in (groups or {}).items():
            report |= {
                f"fid/{name}": frechet_distance(drawn[rows], target[rows]),
                f"samples/{name}": len(rows),
            }
    if len(layers) > 1:
        report |= inception_score(generated[layers[1]])
    report["samples"] = len(drawn)
    return report | _warning(min([fewest, *map(len, (groups or {}).values())]))


def _warning(fewest: int) -> dict[str, str]:
    if fewest >= ENOUGH:
        return {}
    warning = f"an FID of {fewest} images is biased upwards: compare it only with others of as many images"
    log.warning("%s", warning)
    return {"warning": warning}


def kid(generated: Tensor, real: Tensor) -> dict[str, float]:
    """KID of features (M, D) and (N, D): mean and standard deviation over subsets, whose size the fewer images bound."""
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

    size = min(KID_SUBSET_SIZE, len(generated), len(real))
    settings = {"kid_subsets": KID_SUBSETS, "kid_subset_size": size, "rng_seed": SEED, "verbose": False}
    scores = kid_features_to_metric(generated, real, **settings)
    return {
        "kid": scores[KEY_METRIC_KID_MEAN],
        "kid/std": scores[KEY_METRIC_KID_STD],
        "kid/subsets": KID_SUBSETS,
        "kid/subset_size": size,
    }


def inception_score(logits: Tensor) -> dict[str, float]:
    """IS of logits (N, C): mean and standard deviation over splits, of which there are no more than images."""
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

    splits = min(IS_SPLITS, len(logits))
    scores = isc_features_to_metric(logits, splits, True, SEED)
    return {"is": scores[KEY_METRIC_ISC_MEAN], "is/std": scores[KEY_METRIC_ISC_STD], "is/splits": splits}


def fid(images: Tensor, real: Tensor, inception: Path) -> float:
    """FID of images (M, 3, H, W) and (N, 3, H, W) uint8, on Inception weights given by path; needs the extra `evals`."""
    extractor = load_inception(inception, layers=LAYERS[:1])
    sides = (torch.cat([extractor(b)[LAYERS[0]] for b in side.split(BATCH)]) for side in (images, real))
    return frechet_distance(*sides)
