"""A planned run: components, workload, memory of a device, operations of a step, and hours."""

from types import SimpleNamespace
from typing import NamedTuple

from lightning_modules.stage_module import StageModule
from training.devices import DEVICES, Device, default_device, memory_of, peak_of
from training.experiment import ModulesOnly
from training.plan.components import ComponentSize, component_sizes
from training.plan.fake_tensors import recomputing
from training.plan.measure import Measurement
from training.plan.memory import Memory, memory_of_step, sharded_parameters
from training.plan.meter import Usage, weighted
from training.plan.options import Options
from training.plan.parallelism import Parallelism, read_parallelism
from training.plan.predecessors import PlannedPredecessors, Read
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


class Plan(NamedTuple):
    """All that is printed of a run: `rates` are operations a second, in its precision and in single precision."""

    name: str
    components: list[ComponentSize]
    parallelism: Parallelism
    load: Workload
    memory: Memory
    device: Device
    rates: tuple[float, float]
    utilisation: float
    work: Work | None
    notes: list[str]

    @property
    def room(self) -> float:
        """Bytes of the device."""
        return memory_of(self.device)

    @property
    def fits(self) -> bool:
        """Whether a device holds it, with something to spare."""
        return self.memory.total <= (1 - SPARE) * self.room

    @property
    def hours(self) -> float:
        """Of the run, at a share of the device's rates."""
        rate, single = self.rates
        seconds = (self.work.total - self.work.float32) / rate + self.work.float32 / single
        return self.parallelism.steps * seconds / self.utilisation / 3600


def plan_run(modules: ModulesOnly, read: Read, options: Options, only_memory: bool = False) -> Plan:
    """Plans a run; `only_memory` leaves out operations and hours.

    Raises:
        FileNotFoundError: what it starts from is not there, and nothing tells what it would be.
        ValueError: settings that do not go with each other.
    """
    stage, data = modules.model, modules.datamodule
    parallelism, notes = configure(modules, read)
    device = DEVICES[options.device or default_device(str(modules.config.trainer.accelerator))]
    sharded = sharded_parameters(stage, parallelism)
    measurement = Measurement(stage, data.image_size, parallelism.precision, sharded)
    mean, largest = workloads(data, stage.model)
    starts = [start for start in stage.phase_starts if start < parallelism.steps]
    lengths = [end - start for start, end in zip(starts, [*starts[1:], parallelism.steps], strict=True)]

    most, work = [measurement.usage(largest, start) for start in starts], None

    def mean_usage(checkpointing: bool = True) -> Usage:
        found = [measurement.usage(mean, start, checkpointing) for start in starts]
        return weighted(found, lengths)

    if not only_memory:
        usual = weighted(most, lengths) if mean == largest else mean_usage()
        kept = mean_usage(checkpointing=False) if recomputing(stage) else usual
        numbers = usual.forward, kept.backward, usual.backward - kept.backward, usual.float32
        work = Work(*(parallelism.accumulate * number for number in numbers))
    memories = [memory_of_step(stage, parallelism, sharded, usage) for usage in most]
    return Plan(
        name=modules.config.name,
        components=component_sizes(stage),
        parallelism=parallelism,
        load=mean,
        memory=max(memories, key=lambda memory: memory.total),
        device=device,
        rates=(0, 0) if only_memory else (peak_of(device, parallelism.precision), peak_of(device, "32-true")),
        utilisation=options.utilisation,
        work=work,
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
    about = SimpleNamespace(datamodule=data, ckpt_path=None, global_step=0)
    about.max_steps, about.world_size = parallelism.steps, parallelism.world
    about.precision, predecessors = parallelism.precision, PlannedPredecessors(read)
    predecessors.configure(stage, about)
    return parallelism, list(predecessors.notes)
