"""A planned run: components, workload, memory of a device, operations of a step, and hours."""

from types import SimpleNamespace
from typing import NamedTuple

from lightning_modules.stage_module import StageModule
from training.plan.components import ComponentSize, component_sizes
from training.plan.devices import DEVICES, Device, default_device, memory_of, peak_of
from training.plan.fake_tensors import recomputes
from training.plan.measure import Measurement
from training.plan.memory import Memory, memory_of_step, sharded_parameters
from training.plan.meter import Usage
from training.plan.options import Options
from training.plan.parallelism import Parallelism, read_parallelism
from training.plan.predecessors import ModulesOnly, PlannedPredecessors, Read
from training.plan.workload import Workload, workloads

SPARE = 0.06  # of a device's memory: its context, libraries' workspaces, fragments between tensors (assumed)


class Work(NamedTuple):
    """Operations of one step on one device; those in single precision are among the others."""

    forward: float
    backward: float
    recomputed: float
    float32: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.forward + self.backward + self.recomputed

    def seconds(self, peak: float, peak_float32: float) -> float:
        """At a rate for the run's precision and another for single precision, both fully used."""
        return (self.total - self.float32) / peak + self.float32 / peak_float32


class Speed(NamedTuple):
    """Operations a second of the device, of which training reaches a share, and what a run comes to."""

    work: Work
    peak: float
    peak_float32: float
    utilisation: float
    steps: int

    @property
    def hours(self) -> float:
        """Of the run."""
        return self.steps * self.work.seconds(self.peak, self.peak_float32) / self.utilisation / 3600


class Plan(NamedTuple):
    """All that is printed of a run; `speed` is None where only memory was asked for."""

    name: str
    components: list[ComponentSize]
    parallelism: Parallelism
    load: Workload
    memory: Memory
    device: Device
    room: float
    speed: Speed | None
    notes: list[str]

    @property
    def fits(self) -> bool:
        """Whether a device holds it, with something to spare."""
        return self.memory.total <= (1 - SPARE) * self.room


def plan_run(modules: ModulesOnly, read: Read, options: Options, only_memory: bool = False) -> Plan:
    """Plans a run.

    Args:
        modules: of its command line.
        read: builds those of other command lines.
        options: device and utilisation.
        only_memory: leaves out operations and hours.

    Raises:
        FileNotFoundError: what it starts from is not there, and nothing tells what it would be.
        ValueError: settings that do not go with each other.
    """
    stage, data = modules.model, modules.datamodule
    parallelism, notes = configure(modules, read)
    sharded = sharded_parameters(stage, parallelism)
    measurement = Measurement(stage, data.image_size, parallelism.precision, sharded)
    mean, largest = workloads(data, stage.model)
    shares = _phase_shares(stage, parallelism.steps)

    def usages(load: Workload, checkpointing: bool = True) -> list[Usage]:
        found = []
        for start in shares:
            stage.trainer.global_step = start
            found.append(measurement.usage(load, checkpointing))
        return found

    most = usages(largest)
    memories = [memory_of_step(stage, parallelism, sharded, usage) for usage in most]
    device = DEVICES[options.device or default_device(str(modules.config.trainer.accelerator))]
    speed = None
    if not only_memory:
        usual = most if mean == largest else usages(mean)
        kept = usages(mean, checkpointing=False) if recomputes(stage) else usual
        work = _work(list(shares.values()), usual, kept, parallelism.accumulate)
        peaks = peak_of(device, parallelism.precision), peak_of(device, "32-true")
        speed = Speed(work, *peaks, options.utilisation, parallelism.steps)
    return Plan(
        name=modules.config.name,
        components=component_sizes(stage),
        parallelism=parallelism,
        load=mean,
        memory=max(memories, key=lambda memory: memory.total),
        device=device,
        room=memory_of(device),
        speed=speed,
        notes=notes,
    )


def configure(modules: ModulesOnly, read: Read) -> tuple[Parallelism, list[str]]:
    """Configures a stage on the meta device; gives how it is trained, and what is to be noted of its predecessors.

    Raises:
        ValueError: the stage has no loss that could be planned, or is not trained so.
    """
    stage, data = modules.model, modules.datamodule
    if not isinstance(stage, StageModule) or type(stage).loss is StageModule.loss:
        raise ValueError(f"a {type(stage).__name__} is not planned: it has no loss(batch)")
    parallelism = read_parallelism(modules.config.trainer, stage, data.batches_per_epoch)
    trainer = SimpleNamespace(
        max_steps=parallelism.steps,
        precision=parallelism.precision,
        datamodule=data,
        world_size=parallelism.world,
        ckpt_path=None,
        global_step=0,
    )
    predecessors = PlannedPredecessors(read)
    predecessors.configure(stage, trainer)
    return parallelism, predecessors.notes


def _phase_shares(stage: StageModule, steps: int) -> dict[int, float]:
    """The share of a run's steps of each phase, by its first step."""
    starts = [start for start in stage.phase_starts if start < steps]
    ends = [*starts[1:], steps]
    return {start: (end - start) / steps for start, end in zip(starts, ends, strict=True)}


def _work(shares: list[float], usual: list[Usage], kept: list[Usage], times: int) -> Work:
    """Of a step; what is recomputed is what the backward pass takes more with checkpointing than without."""

    def mean(numbers: list[float]) -> float:
        return times * sum(share * number for share, number in zip(shares, numbers, strict=True))

    backward = mean([usage.backward for usage in kept])
    return Work(
        forward=mean([usage.forward for usage in usual]),
        backward=backward,
        recomputed=mean([usage.backward for usage in usual]) - backward,
        float32=mean([usage.float32 for usage in usual]),
    )
