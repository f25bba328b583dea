"""Memory of one device: what lies there all the time, and the most that a step adds."""

from typing import NamedTuple

from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_modules.muon import Muon
from lightning_modules.optimization import Together
from models import sharding
from training.plan.measure import bytes_of
from training.plan.meter import Used
from training.plan.placing import Placing

MOMENTS = 2  # AdamW's
OF_MUON = 1


class Memory(NamedTuple):
    """Bytes on each device.

    Attributes:
        weights: with buffers, as they are kept.
        gradients: of what learns.
        optimizer: its moments.
        buckets: in which DDP sends gradients.
        gathered: weights and gradients that FSDP2 has whole for a while.
        copies: of weights, in the precision of products.
        activations: the rest of a step's peak.
        update: what the optimizer needs while it steps, when activations are gone.
    """

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


def optimizers_of(module: LightningModule) -> list[Optimizer]:
    """Those that the module would train with."""
    made = module.configure_optimizers()
    found = [one["optimizer"] for one in (made if isinstance(made, list) else [made])]
    return [inner for one in found for inner in (one.optimizers if isinstance(one, Together) else [one])]


def sharded_parameters(module: LightningModule, placing: Placing) -> set[int]:
    """Ids of what FSDP2 spreads over devices: `models/sharding.py` leaves the adapter and other parts whole."""
    if placing.strategy != "fsdp2":
        return set()
    language = module.model.language
    whole = {id(p) for p in language.adapter.parameters()}
    return {id(p) for p in language.parameters()} - whole


def memory_of_step(module: LightningModule, placing: Placing, sharded: set[int], used: Used) -> Memory:
    """Adds up one device.

    Args:
        module: configured.
        placing: of the run.
        sharded: as `sharded_parameters` gives them.
        used: by the largest micro-batch.
    """

    def share(tensors: list[Tensor]) -> float:
        spread = [t for t in tensors if id(t) in sharded]
        whole = [t for t in tensors if id(t) not in sharded]
        return bytes_of(spread) / placing.world + bytes_of(whole)

    tensors = _unique([*module.parameters(), *module.buffers()])
    learning = [p for p in _unique(module.parameters()) if p.requires_grad]
    moments = [
        (
            OF_MUON if isinstance(one, Muon) else MOMENTS,
            [p for group in one.param_groups for p in group["params"]],
        )
        for one in optimizers_of(module)
    ]
    gradients = share(learning)
    return Memory(
        weights=share(tensors),
        gradients=gradients,
        optimizer=sum(number * share(parameters) for number, parameters in moments),
        buckets=gradients if placing.strategy == "ddp" else 0.0,
        gathered=_gathered(module.model.language, placing, sharded) if sharded else 0.0,
        copies=used.copies,
        activations=used.peak - used.copies,
        update=max((share(parameters) for _, parameters in moments), default=0.0),
    )


def _gathered(language: nn.Module, placing: Placing, sharded: set[int]) -> float:
    """The layer at work and the next one, and what belongs to no layer, in the precision of products.

    To that come their gradients before they are spread: those of a layer once more in single precision.
    """
    layer = next(iter(sharding.trunk_layers(language.trunk)))
    own = {id(p) for stack in sharding.trunk_layers(language.trunk) for p in stack.parameters()}
    rest = [p for p in language.parameters() if id(p) in sharded and id(p) not in own]
    size = 4 if placing.precision.startswith("32") else 2

    def numbers(parameters: list[nn.Parameter], learning: bool = False) -> int:
        return sum(p.numel() for p in parameters if p.requires_grad or not learning)

    inside = list(layer.parameters())
    weights = size * (2 * numbers(inside) + numbers(rest))
    return float(weights + size * numbers(rest, True) + (size + 4) * numbers(inside, True))


def _unique(tensors: list[Tensor]) -> list[Tensor]:
    return list({id(tensor): tensor for tensor in tensors}.values())
