"""AdamW with a named group for each component, under warm-up and cosine decay (assumed; ILLUME+ trains so).

Muon for a component's matrices is a choice: a small model from scratch learns faster with it (docs/decisions/).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn

from lightning_modules.muon import Muon


def cosine_factor(step: int, warmup: int, total: float | Callable[[], float], floor: float = 0.02) -> float:
    """Factor on the learning rate at a step: linear up over `warmup` steps, then half a cosine down to `floor`.

    `total` steps of the run may be a function, which knows them once it trains; with inf the rate stays up.
    """
    if step < warmup:
        return (step + 1) / warmup
    if step == warmup:
        return 1.0
    total = total() if callable(total) else total
    share = 0.0 if math.isinf(total) else min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share))


class RunLength:
    """Optimizer steps of a run, by `max_steps` or `max_epochs`; asked while it trains, for before it has no data.

    `less` are steps that are not the schedule's.
    """

    def __init__(self, trainer: Trainer, less: int = 0) -> None:
        self.trainer, self.less = trainer, less

    def __call__(self) -> float:
        """Steps; inf: the run has no end, or data of unknown length."""
        steps = self.trainer.estimated_stepping_batches
        return float("inf") if steps == -1 else steps - self.less


class CombinedOptimizer(torch.optim.Optimizer):
    """Several optimizers that step as one, for Lightning's automatic optimization and one schedule over all."""

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self.optimizers = list(optimizers)
        super().__init__(self._groups(), {})

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of each; the closure, if any, is called once before."""
        loss = None if closure is None else closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The state of each."""
        return {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Gives each its state back; loading makes new groups, so the shared list of them is made anew."""
        for optimizer, state in zip(self.optimizers, state_dict["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.param_groups = self._groups()


def build_optimizer(
    components: Mapping[str, Iterable[nn.Parameter]],
    learning_rates: Mapping[str, float],
    total: float | Callable[[], float],
    warmup: int,
    weight_decay: float = 0.0,
    beta2: float = 0.95,
    muon: Sequence[str] = (),
) -> OptimizerLRSchedulerConfig:
    """Lightning's optimizer and scheduler for the components that have a learning rate; all others are frozen.

    Muon trains the matrices of the components `muon`, at AdamW's rates (its updates are scaled to AdamW's size). Steps of
    the schedule are as in `cosine_factor`.

    Raises:
        ValueError: there is no such component, or one would learn in half precision.
    """
    if unknown := (set(learning_rates) | set(muon)) - set(components):
        raise ValueError(
            f"no component {', '.join(sorted(unknown))} to give a learning rate to; there is: {', '.join(components)}"
        )
    by_muon: list[dict[str, Any]] = []
    by_adamw: list[dict[str, Any]] = []
    for name in (name for name, rate in learning_rates.items() if rate > 0):
        parameters = list(components[name])
        _check_single_precision(name, parameters)
        matrices = [p for p in parameters if name in muon and p.ndim == 2]
        others = [p for p in parameters if name not in muon or p.ndim != 2]
        for groups, members in ((by_muon, matrices), (by_adamw, others)):
            if members:
                groups.append({"params": members, "lr": learning_rates[name], "name": name})
    optimizers: list[torch.optim.Optimizer] = [Muon(by_muon, weight_decay)] if by_muon else []
    if by_adamw:
        optimizers.append(torch.optim.AdamW(by_adamw, betas=(0.9, beta2), weight_decay=weight_decay))
    optimizer = optimizers[0] if len(optimizers) == 1 else CombinedOptimizer(optimizers)
    factor = partial(cosine_factor, warmup=warmup, total=total)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _check_single_precision(name: str, parameters: Iterable[nn.Parameter]) -> None:
    for dtype in {parameter.dtype for parameter in parameters if parameter.itemsize < 4}:
        raise ValueError(
            f"{name} would learn in {str(dtype).removeprefix('torch.')}, in which most updates round away: give "
            "--trainer.precision=bf16-mixed, and where memory is short --model.init_args.frozen_dtype=bfloat16"
        )


def freeze_except(
    learning_rates: Mapping[str, float], components: Mapping[str, Iterable[nn.Parameter]]
) -> None:
    """Freezes every parameter of the components that have no learning rate."""
    for name, parameters in components.items():
        for parameter in parameters:
            parameter.requires_grad_(learning_rates.get(name, 0) > 0)
