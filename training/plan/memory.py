"""Memory of one device: what lies there all the time, and the most that a step adds."""

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_modules.muon import Muon
from lightning_modules.optimization import CombinedOptimizer
from lightning_modules.stage_module import StageModule
from models import sharding
from training.plan.meter import Usage
from training.plan.parallelism import Parallelism

MOMENTS = {Muon: 1}  # AdamW has two


class Memory(NamedTuple):
    """Bytes on each device, as `MEMORY` of report.py explains them."""

    weights: float
    gradients: float
    optimizer: float
    buckets: float
    gathered: float
    copies: float
    activations: float
    update: float

    @property
    def total(self) -> float:
        """The most at once."""
        held = self.weights + self.gradients + self.optimizer + self.buckets
        return held + max(self.gathered + self.copies + self.activations, self.update)


def optimizers_of(stage: StageModule) -> list[Optimizer]:
    """Those that the stage would train with."""
    configured = stage.configure_optimizers()
    found = [one["optimizer"] for one in (configured if isinstance(configured, list) else [configured])]
    return [own for one in found for own in (one.optimizers if isinstance(one, CombinedOptimizer) else [one])]


def sharded_parameters(stage: StageModule, parallelism: Parallelism) -> set[int]:
    """Ids of what FSDP2 spreads over devices: `models/sharding.py` leaves the adapter and other components whole."""
    if parallelism.strategy != "fsdp2":
        return set()
    language = stage.model.language
    return {id(p) for p in language.parameters()} - {id(p) for p in language.adapter.parameters()}


def memory_of_step(stage: StageModule, parallelism: Parallelism, sharded: set[int], usage: Usage) -> Memory:
    """Memory of one device, by what the largest micro-batch uses; `sharded` is as `sharded_parameters` gives it."""

    def share(tensors: Iterable[Tensor]) -> float:
        unique = {id(t): t.numel() * t.itemsize for t in tensors}
        return sum(size / parallelism.world if key in sharded else size for key, size in unique.items())

    steps = [(o, [p for group in o.param_groups for p in group["params"]]) for o in optimizers_of(stage)]
    gradients = share(p for p in stage.parameters() if p.requires_grad)
    return Memory(
        weights=share([*stage.parameters(), *stage.buffers()]),
        gradients=gradients,
        optimizer=sum(MOMENTS.get(type(one), 2) * share(parameters) for one, parameters in steps),
        buckets=gradients if parallelism.strategy == "ddp" else 0.0,
        gathered=_gathered(stage.model.language, parallelism, sharded) if sharded else 0.0,
        copies=usage.copies,
        activations=usage.peak - usage.copies,
        update=max((share(parameters) for _, parameters in steps), default=0.0),
    )


def _gathered(language: nn.Module, parallelism: Parallelism, sharded: set[int]) -> float:
    """The layer at work and the next one, and what belongs to no layer, in the precision of products.

    To that come their gradients before they are spread: those of a layer once more in single precision.
    """
    layers = sharding.trunk_layers(language.trunk)
    inside = list(layers[0].parameters())
    own = {id(p) for p in layers.parameters()}
    rest = [p for p in language.parameters() if id(p) in sharded and id(p) not in own]
    size = 4 if parallelism.precision.startswith("32") else 2

    def count(parameters: list[nn.Parameter], learning: bool = False) -> int:
        return sum(p.numel() for p in parameters if p.requires_grad or not learning)

    weights = size * (2 * count(inside) + count(rest))
    return float(weights + size * count(rest, True) + (size + 4) * count(inside, True))
