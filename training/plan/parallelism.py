"""How a recipe's trainer runs: on how many devices, by which strategy, in which precision, for how many steps."""

from typing import Any, NamedTuple

from lightning_modules.stage_module import StageModule
from training.parallel.fsdp2 import check_precision
from training.parallel.strategy import check_true_halves, full_precision, named_devices

AUTO = 8  # devices of a machine that `auto` is taken for


class Parallelism(NamedTuple):
    """A trainer's settings, as far as memory and hours depend on them.

    `devices` are of each machine, and `automatic` where they were left to it; `strategy` is single, ddp or fsdp2.
    """

    devices: int
    nodes: int
    strategy: str
    precision: str
    accumulate: int
    steps: int
    automatic: bool

    @property
    def world(self) -> int:
        """Devices in all."""
        return self.devices * self.nodes


def read_parallelism(trainer: Any, stage: StageModule, batches_per_epoch: int) -> Parallelism:
    """Reads a config's trainer; no accelerator is looked for.

    Raises:
        ValueError: a strategy that is not planned, one that the stage does not train under, or a run without end.
    """
    named = named_devices(trainer.devices)
    devices = (1 if trainer.accelerator == "cpu" else AUTO) if named is None else named
    nodes, accumulate = trainer.num_nodes or 1, trainer.accumulate_grad_batches or 1
    precision = full_precision(trainer)
    check_true_halves(precision)
    strategy = _strategy(trainer.strategy, devices * nodes)
    if strategy == "fsdp2":
        stage.check_shardable()
        check_precision(precision)
    steps = _steps(trainer, batches_per_epoch, accumulate)
    return Parallelism(devices, nodes, strategy, precision, accumulate, steps, named is None)


def _steps(trainer: Any, batches_per_epoch: int, accumulate: int) -> int:
    """Optimizer steps: what comes first of `max_steps` and `max_epochs`; an epoch's last batch always ends a step."""
    ends = [trainer.max_steps] if (trainer.max_steps or -1) >= 0 else []
    if (trainer.max_epochs or -1) >= 0:
        limit = trainer.limit_train_batches
        if isinstance(limit, int):
            batches_per_epoch = min(batches_per_epoch, limit)
        elif limit is not None:
            batches_per_epoch = int(batches_per_epoch * limit)
        ends.append(trainer.max_epochs * -(-batches_per_epoch // accumulate))
    if not ends:
        raise ValueError("the run has no end to plan for: give trainer.max_steps")
    return min(ends)


def _strategy(strategy: Any, world: int) -> str:
    path = getattr(strategy, "class_path", None) or getattr(strategy, "__class__", type(strategy)).__name__
    name = (strategy if isinstance(strategy, str) else path.rpartition(".")[2]).lower()
    if name.startswith("fsdp2"):
        return "fsdp2"
    if name in ("auto", "singledevicestrategy"):
        return "ddp" if world > 1 else "single"
    if name.startswith("ddp") or name.endswith("ddpstrategy"):
        return "ddp"
    raise ValueError(f"a plan knows the strategies auto, ddp and fsdp2, and trainer.strategy is {name}")
