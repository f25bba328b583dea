"""Muon in batches does what torch's own does, matrix by matrix."""

import pytest
import torch
from torch import nn

from lightning_modules.muon import Muon, orthogonalize

SHAPES = [(12, 12), (12, 30), (30, 12), (12, 12), (7, 12)]


def trained(optimizer_of, steps: int = 8) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    matrices = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    optimizer = optimizer_of([{"params": matrices[:3], "lr": 0.02}, {"params": matrices[3:], "lr": 0.01}])
    for step in range(steps):
        for number, matrix in enumerate(matrices):
            matrix.grad = torch.randn(matrix.shape, generator=generator)
            if number == 4 and step < 2:
                matrix.grad = None  # a part that nothing in this batch reached
        optimizer.step()
    return [matrix.detach() for matrix in matrices]


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_moves_every_matrix_as_torchs_own_does(decay: float) -> None:
    ours = trained(lambda groups: Muon(groups, decay))
    theirs = trained(
        lambda groups: torch.optim.Muon(groups, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
    )
    still = trained(lambda groups: Muon([{**group, "lr": 0.0} for group in groups]))
    for mine, other, start in zip(ours, theirs, still, strict=True):
        moved = (other - start).norm()
        assert (mine - other).norm() < 0.02 * moved and moved > 0.01  # theirs iterates in bfloat16


def test_singular_values_come_near_to_one() -> None:
    generator = torch.Generator().manual_seed(0)
    made = orthogonalize(torch.randn(3, 8, 20, generator=generator), (3.4445, -4.7750, 2.0315), 5, 1e-7)
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.6 and values.max() < 1.3


def test_a_state_of_torchs_own_is_taken_up() -> None:
    matrix = nn.Parameter(torch.ones(4, 6))
    matrix.grad = torch.rand(4, 6)
    theirs = torch.optim.Muon([matrix], lr=0.1, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    theirs.step()
    ours = Muon([matrix])
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours.state[matrix]["momentum_buffer"], theirs.state[matrix]["momentum_buffer"])
    assert ours.param_groups[0]["lr"] == 0.1
