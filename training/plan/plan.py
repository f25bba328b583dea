"""A run as it is planned: parts, load, memory of a device, operations of a step, and hours."""

from types import SimpleNamespace
from typing import Any, NamedTuple

from lightning.pytorch import LightningModule

from datamodules.document_datamodule import DocumentDataModule
from training.plan.devices import DEVICES, Device, default_device, memory_of, peak_of
from training.plan.fake_tensors import makes_again
from training.plan.measure import compute_types, measure
from training.plan.memory import Memory, memory_of_step, sharded_parameters
from training.plan.meter import Used
from training.plan.options import Options
from training.plan.parts import Part, parts_in
from training.plan.placing import Placing, placing_of
from training.plan.samples import Load, largest_load, mean_load
from training.plan.stand_in import ModulesOnly, Read, StandIn
from training.plan.steps import Phase, check_known, phases_of

SPARE = 0.06  # of a device's memory: its context, libraries' workspaces, fragments between tensors (assumed)


class Work(NamedTuple):
    """Operations of one step on one device; those in single precision are among the others."""

    forward: float
    backward: float
    again: float
    single: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.forward + self.backward + self.again

    def seconds(self, peak: float, single: float) -> float:
        """At a rate for the run's precision and another for single precision, both fully used."""
        return (self.total - self.single) / peak + self.single / single


class Plan(NamedTuple):
    """All that is said of a run; `work` and `hours` are None where only memory was asked for."""

    name: str
    parts: list[Part]
    placing: Placing
    load: Load
    tokens: int
    memory: Memory
    device: Device
    room: float
    work: Work | None
    hours: float | None
    utilisation: float
    peak: float
    single: float
    notes: list[str]

    @property
    def fits(self) -> bool:
        """Whether a device holds it, with something to spare."""
        return self.memory.total <= (1 - SPARE) * self.room


def plan_run(sketch: ModulesOnly, read: Read, options: Options, only_memory: bool = False) -> Plan:
    """Plans a run.

    Args:
        sketch: of its command line.
        read: makes sketches of other command lines.
        options: device and utilisation.
        only_memory: leaves out operations and hours.

    Raises:
        FileNotFoundError: what it starts from is not there, and nothing tells what it would be.
        ValueError: settings that do not go with each other.
    """
    module, data, trainer = sketch.model, sketch.datamodule, sketch.config.trainer
    placing, notes = configure(sketch, read)
    sharded = sharded_parameters(module, placing)
    dtypes = compute_types(module, placing.precision, sharded)
    phases = phases_of(module, data.image_size, placing.steps)
    mean, largest = _loads(module, data)

    def used(phase: Phase, load: Load, checkpointing: bool = True) -> Used:
        return measure(module, phase, load, placing.precision, dtypes, checkpointing)

    most = [used(phase, largest) for phase in phases]
    memories = [memory_of_step(module, placing, sharded, each) for each in most]
    device = DEVICES[options.device or default_device(str(trainer.accelerator))]
    work = hours = None
    peak = single = 0.0
    if not only_memory:
        usual = most if mean == largest else [used(phase, mean) for phase in phases]
        kept = [used(phase, mean, False) for phase in phases] if makes_again(module) else usual
        work = _work([phase.share for phase in phases], usual, kept, placing.accumulate)
        peak, single = peak_of(device, placing.precision), peak_of(device, "32-true")
        hours = placing.steps * work.seconds(peak, single) / options.utilisation / 3600
    return Plan(
        name=sketch.config.name,
        parts=parts_in(module),
        placing=placing,
        load=mean,
        tokens=mean.rows * mean.length,
        memory=max(memories, key=lambda memory: memory.total),
        device=device,
        room=memory_of(device),
        work=work,
        hours=hours,
        utilisation=options.utilisation,
        peak=peak,
        single=single,
        notes=notes,
    )


def configure(sketch: ModulesOnly, read: Read) -> tuple[Placing, list[str]]:
    """Configures a sketch's module on the meta device; gives how it is placed, and what has to be said of its parts."""
    module, data = sketch.model, sketch.datamodule
    check_known(module)
    placing, stand_in = placing_of(sketch.config.trainer, module, data.batches_per_epoch), StandIn(read)
    trainer = SimpleNamespace(
        max_steps=placing.steps,
        precision=placing.precision,
        datamodule=data,
        world_size=placing.world,
        ckpt_path=None,
    )
    stand_in.build(module, trainer)
    return placing, stand_in.notes


def _loads(module: LightningModule, data: Any) -> tuple[Load, Load]:
    """The mean micro-batch, and the largest."""
    if not isinstance(data, DocumentDataModule):
        images = Load(data.batch_size, 0, 0, 0, data.batch_size, 0, 0, data.batch_size)
        return images, images
    return mean_load(data, module.model), largest_load(data, module.model)


def _work(shares: list[float], usual: list[Used], kept: list[Used], times: int) -> Work:
    """Of a step; what checkpointing makes again is what the backward pass takes more with it than without."""
    together = list(zip(shares, usual, kept, strict=True))
    forward = sum(share * used.forward for share, used, _ in together)
    backward = sum(share * whole.backward for share, _, whole in together)
    again = sum(share * (used.backward - whole.backward) for share, used, whole in together)
    single = sum(share * used.single for share, used, _ in together)
    return Work(times * forward, times * backward, times * again, times * single)
