"""Statistics of others are read without unpickling, and only where they fit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from evals.fidelity.frechet import Gaussian, frechet_distance, gaussian_distance
from evals.fidelity.statistics import read_statistics


class Evil:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple:
        return (open, ("evil-was-here", "w"))


def test_statistics_give_the_distance_that_the_features_give(tmp_path: Path) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(50, 6), torch.randn(40, 6) * 2
    np.savez(tmp_path / "b.npz", mu=b.mean(0).numpy(), sigma=np.cov(b.numpy(), rowvar=False))
    read = read_statistics(tmp_path / "b.npz", 6)
    assert gaussian_distance(Gaussian.fit(a), read) == pytest.approx(frechet_distance(a, b), rel=1e-6)


def test_what_is_no_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("evil.npz", mu=np.array([Evil()], dtype=object), sigma=np.eye(3), allow_pickle=True)
    np.savez("wide.npz", mu=np.zeros(4), sigma=np.eye(4))
    np.savez("half.npz", mu=np.zeros(3))
    np.savez("skew.npz", mu=np.zeros(3), sigma=np.triu(np.ones((3, 3))))
    Path("text.npz").write_text("mu sigma")
    for name, says in {
        "evil.npz": "no .npz with the arrays",
        "half.npz": "no .npz with the arrays",
        "text.npz": "no .npz with the arrays",
        "wide.npz": r"mu \(4,\).* are 3",
        "skew.npz": "symmetric",
    }.items():
        with pytest.raises(ValueError, match=f"{name}.*{says}"):
            read_statistics(Path(name), 3)
    assert not Path("evil-was-here").exists()
    with pytest.raises(FileNotFoundError, match="none.npz"):
        read_statistics(Path("none.npz"), 3)
