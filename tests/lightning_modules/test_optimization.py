"""Components, learning rates, and two optimizers that step as one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from lightning_modules import optimization
from lightning_modules.optimization import CombinedOptimizer, RunLength, build_optimizer, cosine_factor
from tests.tiny import TinyModule
from training.param_group_metrics import ParamGroupMetrics


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
    optimizer = build_optimizer(named, {"body": 1e-2, "head": 1e-3}, 10, 2, muon=["body"])["optimizer"]
    assert isinstance(optimizer, CombinedOptimizer)
    muon, other = optimizer.optimizers
    assert isinstance(muon, torch.optim.Muon) and isinstance(other, torch.optim.AdamW)
    assert [p.shape for g in muon.param_groups for p in g["params"]] == [(8, 6)]
    assert [g["name"] for g in optimizer.param_groups] == ["body", "body", "head"]
    assert [g["initial_lr"] for g in optimizer.param_groups] == [1e-2, 1e-2, 1e-3]


def test_the_schedule_moves_both() -> None:
    net, named = parts()
    made = build_optimizer(named, {"body": 1e-2, "head": 1e-3}, 10, 2, muon=["body"])
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
    made = build_optimizer(named, rates, 10, 2, muon=muon)
    train(whole, made, 6)
    cut, named = parts()
    first = build_optimizer(named, rates, 10, 2, muon=muon)
    train(cut, first, 3)
    saved = first["optimizer"].state_dict(), first["lr_scheduler"]["scheduler"].state_dict()
    again = build_optimizer(named, rates, 10, 2, muon=muon)
    again["optimizer"].load_state_dict(saved[0])
    again["lr_scheduler"]["scheduler"].load_state_dict(saved[1])
    train(cut, again, 3, start=3)
    for a, b in zip(whole.parameters(), cut.parameters(), strict=True):
        assert torch.equal(a, b)


def test_an_unknown_component_is_named() -> None:
    _, named = parts()
    with pytest.raises(ValueError, match="no component tail .* there is: body, head"):
        build_optimizer(named, {"body": 1e-3}, 10, 2, muon=["tail"])


class Scheduled(TinyModule):
    def configure_optimizers(self) -> dict[str, Any]:
        return build_optimizer({"layer": self.parameters()}, {"layer": 1.0}, RunLength(self.trainer), 2)


class Rates(Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        self.seen.append(optimizer.param_groups[0]["lr"])


class Stream(torch.utils.data.IterableDataset):
    """Four batches an epoch, of a stated length or not."""

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(torch.ones(4, 2, 4))


class Stated(Stream):
    def __len__(self) -> int:
        return 4


def rates(data: object = None, **settings: object) -> list[float]:
    seen = Rates()
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, callbacks=[seen, ParamGroupMetrics()], **settings,
    )  # fmt: skip
    loader = torch.utils.data.DataLoader(data or list(torch.ones(4, 2, 4)), batch_size=None)
    trainer.fit(Scheduled(), loader)
    return seen.seen


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        (None, {"max_steps": -1, "max_epochs": 2}),
        (None, {"max_steps": 100, "max_epochs": 2}),
        (None, {"max_steps": 8, "max_epochs": 100}),
        (None, {"max_epochs": 4, "accumulate_grad_batches": 2}),
        (None, {"max_epochs": 4, "limit_train_batches": 2}),
        (None, {"max_epochs": 4, "accumulate_grad_batches": 3}),  # the last batch of an epoch ends a step
        (Stated(), {"max_epochs": 2}),
    ],
)
def test_a_schedule_of_epochs_is_that_of_as_many_steps(data: object, settings: dict[str, object]) -> None:
    assert rates(data, **settings) == rates(max_steps=8)
    assert rates(max_steps=8) == [cosine_factor(step, 2, 8) for step in range(8)]


def test_a_run_without_a_known_end_keeps_its_rate_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert rates(Stream(), max_epochs=2) == [0.5] + [1.0] * 7
    assert rates(max_epochs=-1, limit_train_batches=2, max_time={"seconds": 1})[:5] == [0.5] + [1.0] * 4
    printed = [record.message for record in caplog.records if "stays where it is" in record.message]
    assert len(printed) == 2


def test_no_module_takes_the_run_s_length_from_elsewhere() -> None:
    """`trainer.max_steps` is -1 in a run of epochs."""
    files = Path(optimization.__file__).parent.glob("*.py")
    assert [file.name for file in files if "max_steps" in file.read_text().replace("`max_steps`", "")] == []
