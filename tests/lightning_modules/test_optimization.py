"""Parts, rates, and two optimizers that step as one."""

import pytest
import torch
from torch import nn

from lightning_modules.optimization import Together, adamw, cosine_factor


def parts() -> tuple[nn.Module, dict[str, list[nn.Parameter]]]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3))
    return net, {"body": [*net[0].parameters(), *net[1].parameters()], "head": list(net[2].parameters())}


def train(net: nn.Module, made: dict, steps: int, start: int = 0) -> None:
    schedule = made["lr_scheduler"]["scheduler"]
    for step in range(start, start + steps):
        torch.manual_seed(step)
        made["optimizer"].zero_grad()
        net(torch.randn(4, 6)).square().sum().backward()
        made["optimizer"].step()
        schedule.step()


def test_muon_takes_the_matrices_of_its_parts_and_adamw_the_rest() -> None:
    _, named = parts()
    optimizer = adamw(named, {"body": 1e-2, "head": 1e-3}, 10, 2, muon=["body"])["optimizer"]
    assert isinstance(optimizer, Together)
    muon, other = optimizer.optimizers
    assert isinstance(muon, torch.optim.Muon) and isinstance(other, torch.optim.AdamW)
    assert [p.shape for g in muon.param_groups for p in g["params"]] == [(8, 6)]
    assert [g["name"] for g in optimizer.param_groups] == ["body", "body", "head"]
    assert [g["initial_lr"] for g in optimizer.param_groups] == [1e-2, 1e-2, 1e-3]


def test_the_schedule_moves_both() -> None:
    net, named = parts()
    made = adamw(named, {"body": 1e-2, "head": 1e-3}, 10, 2, muon=["body"])
    before = [p.clone() for p in net.parameters()]
    train(net, made, 5)
    assert all(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    for optimizer in made["optimizer"].optimizers:
        for group in optimizer.param_groups:
            assert group["lr"] == pytest.approx(group["initial_lr"] * cosine_factor(5, 2, 10))


@pytest.mark.parametrize("muon", [[], ["body"], ["body", "head"]])
def test_a_saved_state_goes_on_bit_for_bit(muon: list[str]) -> None:
    rates = {"body": 1e-2, "head": 1e-3}
    whole, named = parts()
    made = adamw(named, rates, 10, 2, muon=muon)
    train(whole, made, 6)
    cut, named = parts()
    first = adamw(named, rates, 10, 2, muon=muon)
    train(cut, first, 3)
    saved = first["optimizer"].state_dict(), first["lr_scheduler"]["scheduler"].state_dict()
    again = adamw(named, rates, 10, 2, muon=muon)
    again["optimizer"].load_state_dict(saved[0])
    again["lr_scheduler"]["scheduler"].load_state_dict(saved[1])
    train(cut, again, 3, start=3)
    for a, b in zip(whole.parameters(), cut.parameters(), strict=True):
        assert torch.equal(a, b)


def test_an_unknown_part_is_named() -> None:
    _, named = parts()
    with pytest.raises(ValueError, match="no part tail .* there is: body, head"):
        adamw(named, {"body": 1e-3}, 10, 2, muon=["tail"])
