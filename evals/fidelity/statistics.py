"""Mean and covariance of real images' features, computed before: a .npz with `mu` and `sigma`, as TTUR's and ADM's."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from evals.fidelity.frechet import Gaussian


def read_statistics(path: Path, width: int) -> "Gaussian":
    """The Gaussian of a .npz, of which nothing pickled is loaded; features have `width` dimensions.

    Raises FileNotFoundError if it is not there; ValueError if it holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there are no statistics {path}: give a .npz with mu and sigma")
    import torch

    from evals.fidelity.frechet import Gaussian

    try:
        with np.load(path, allow_pickle=False) as arrays:
            mean, covariance = (np.asarray(arrays[name], dtype=np.float64) for name in ("mu", "sigma"))
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is no .npz with the arrays mu and sigma ({reason})") from error
    if mean.shape != (width,) or covariance.shape != (width, width):
        raise ValueError(
            f"{path} has mu {mean.shape} and sigma {covariance.shape}, these features are {width}: "
            "it was computed on others"
        )
    if not (np.isfinite(mean).all() and np.allclose(covariance, covariance.T, rtol=1e-4, atol=1e-6)):
        raise ValueError(f"{path}: mu is not finite, or sigma is no covariance, which is symmetric")
    return Gaussian(torch.from_numpy(mean), torch.from_numpy(covariance))
