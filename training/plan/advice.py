"""Which setting to turn where a run does not fit: each is planned again, and named only where it makes it fit."""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import NamedTuple

from lightning_modules.detokenizer import DetokenizerModule
from lightning_modules.language import LanguageModule
from training.plan.devices import GIB
from training.plan.plan import Plan
from training.plan.stand_in import ModulesOnly

Arguments = list[str]  # as a command line takes them
Replan = Callable[[Arguments], Plan]  # with more on the command line, memory alone
NODES = (2, 4, 8, 16, 32)
LORA = ["--config", "lora.yaml"]


class Advice(NamedTuple):
    """Arguments that make a run fit, and the plan that says so; None: nothing was found."""

    arguments: Arguments
    plan: Plan | None

    def lines(self) -> Iterator[str]:
        """As they are printed."""
        if self.plan is None:
            yield "No setting that was tried makes it fit: take a device with more memory, or a smaller model."
            return
        yield f"Fits with {' '.join(self.arguments)}"
        yield f"  {self.plan.memory.total / GIB:.2f} GiB on each device"


def advise(sketch: ModulesOnly, plan: Plan, replan: Replan) -> Advice:
    """Looks for what makes a run fit: one setting, smaller micro-batches, both, more machines, at last LoRA.

    Args:
        sketch: of the run.
        plan: of it, which does not fit.
        replan: plans it with more arguments.
    """
    for ways in (*_ways(_turns(sketch, plan), _batches(sketch, plan)), *_last_ways(sketch, plan)):
        if (found := _first_that_fits(ways, replan)) is not None:
            return found
    return Advice([], None)


def _first_that_fits(ways: list[Arguments], replan: Replan) -> Advice | None:
    """The first way that fits; they are in order of how much they save, so where the last does not none does."""
    if not ways or not (last := replan(ways[-1])).fits:
        return None
    for arguments in ways[:-1]:
        if (made := replan(arguments)).fits:
            return Advice(arguments, made)
    return Advice(ways[-1], last)


def _ways(turns: list[Arguments], batches: list[Arguments]) -> Iterator[list[Arguments]]:
    """Lists of arguments to try, each list from what saves least to what saves most."""
    yield from ([turn] for turn in turns)
    for count in range(len(turns) + 1):
        for chosen in combinations(turns, count):
            together = [word for turn in chosen for word in turn]
            if count > 1:
                yield [together]
            yield [together + batch for batch in batches]


def _turns(sketch: ModulesOnly, plan: Plan) -> list[Arguments]:
    """Settings that save memory and leave what is trained as it is."""
    module, turns = sketch.model, []
    if isinstance(module, LanguageModule):
        if not module.checkpointing:
            turns.append(["--model.init_args.checkpointing=true"])
        if plan.placing.strategy == "ddp" and not (module.lora or module.muon):
            turns.append(["--trainer.strategy=fsdp2"])
    if isinstance(module, DetokenizerModule) and not module.gradient_checkpointing:
        turns.append(["--model.init_args.gradient_checkpointing=true"])
    return turns


def _batches(sketch: ModulesOnly, plan: Plan) -> list[Arguments]:
    """Smaller micro-batches, and more of them a step: what divides a step's rows, from the largest down."""
    name = "sequences_per_batch" if isinstance(sketch.model, LanguageModule) else "batch_size"
    rows = getattr(sketch.datamodule, name, 1)
    if not sketch.model.automatic_optimization:  # then Lightning accumulates nothing
        return []
    all_rows = rows * plan.placing.accumulate
    smaller = [size for size in range(rows - 1, 0, -1) if all_rows % size == 0]
    return [
        [f"--data.init_args.{name}={size}", f"--trainer.accumulate_grad_batches={all_rows // size}"]
        for size in smaller
    ]


def _last_ways(sketch: ModulesOnly, plan: Plan) -> Iterator[list[Arguments]]:
    """What asks for more machines, and what trains less."""
    module = sketch.model
    smallest = (_batches(sketch, plan) or [[]])[-1]
    if isinstance(module, DetokenizerModule) and "from" in module.sizes and module.learns == "all":
        attention = ["--model.init_args.learns=attention"]
        yield [attention, attention + smallest]
    if not isinstance(module, LanguageModule) or module.lora:
        return
    turns = [word for turn in _turns(sketch, plan) for word in turn]
    lora = [LORA, [*LORA, "--data.init_args.sequences_per_batch=1"]]
    if plan.placing.world == 1:  # whoever has one device would rather not hear of a second machine
        yield lora
    if "fsdp2" in (plan.placing.strategy, *(word.rpartition("=")[2] for word in turns)):
        yield [
            [*turns, *_spread(smallest, more), f"--trainer.num_nodes={plan.placing.nodes * more}"]
            for more in NODES
        ]
    if plan.placing.world > 1:
        yield lora


def _spread(batches: Arguments, machines: int) -> Arguments:
    """The same step on more machines: as many times fewer micro-batches on each device, and one at least."""
    if not batches:
        return []
    *rest, accumulate = batches
    name, _, number = accumulate.rpartition("=")
    return [*rest, f"{name}={max(1, int(number) // machines)}"]
