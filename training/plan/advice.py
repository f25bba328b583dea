"""Which setting to change where a run does not fit: each is planned again, and named only where it makes it fit."""

import importlib.util
from collections.abc import Callable, Iterator
from itertools import chain, combinations
from typing import NamedTuple

from lightning_modules.detokenizer import DetokenizerModule
from lightning_modules.language import LanguageModule
from training.devices import GIB
from training.experiment import ModulesOnly
from training.plan.plan import Plan

Arguments = list[str]  # as a command line takes them
Replan = Callable[[Arguments], Plan]  # with more on the command line, memory alone
NODES = (2, 4, 8, 16, 32)
LORA = ["--config", "lora.yaml"]


class Advice(NamedTuple):
    """Arguments that make a run fit, and the plan that shows it; None: nothing was found."""

    arguments: Arguments
    plan: Plan | None

    def lines(self) -> Iterator[str]:
        """As they are printed."""
        if self.plan is None:
            yield "No setting that was tried makes it fit: take a device with more memory, or a smaller model."
            return
        yield f"Fits with {' '.join(self.arguments)}"
        yield f"  {self.plan.memory.total / GIB:.2f} GiB on each device"


def advise(modules: ModulesOnly, plan: Plan, replan: Replan) -> Advice:
    """Looks for what makes a run fit: one setting, smaller micro-batches, both, more machines, at last LoRA."""
    settings, batches = _settings(modules, plan), _batches(modules, plan)
    for options in (*_combined(settings, batches), *_last_options(modules, plan, settings, batches)):
        # in order of how much they save: where the last does not fit none does
        if options and (last := replan(options[-1])).fits:
            fitting = ((arguments, replan(arguments)) for arguments in options[:-1])
            return Advice(*next((one for one in fitting if one[1].fits), (options[-1], last)))
    return Advice([], None)


def _combined(settings: list[Arguments], batches: list[Arguments]) -> Iterator[list[Arguments]]:
    """Lists of arguments to try, each list from what saves least to what saves most."""
    yield from ([setting] for setting in settings)
    for count in range(len(settings) + 1):
        for chosen in combinations(settings, count):
            together = list(chain.from_iterable(chosen))
            if count > 1:
                yield [together]
            yield [together + batch for batch in batches]


def _settings(modules: ModulesOnly, plan: Plan) -> list[Arguments]:
    """Settings that save memory and leave what is trained as it is."""
    stage, settings = modules.model, []
    if isinstance(stage, LanguageModule | DetokenizerModule) and not stage.gradient_checkpointing:
        settings.append(["--model.init_args.gradient_checkpointing=true"])
    shards = isinstance(stage, LanguageModule) and not (stage.lora or stage.muon)
    if shards and plan.parallelism.strategy == "ddp":
        settings.append(["--trainer.strategy=fsdp2"])
    return settings


def _batches(modules: ModulesOnly, plan: Plan) -> list[Arguments]:
    """Smaller micro-batches, and more of them a step: what divides a step's rows, from the largest down."""
    name = "sequences_per_batch" if isinstance(modules.model, LanguageModule) else "batch_size"
    rows = getattr(modules.datamodule, name, 1)
    if not modules.model.automatic_optimization:  # then Lightning accumulates nothing
        return []
    all_rows = rows * plan.parallelism.accumulate
    return [
        [f"--data.init_args.{name}={size}", f"--trainer.accumulate_grad_batches={all_rows // size}"]
        for size in range(rows - 1, 0, -1)
        if all_rows % size == 0
    ]


def _last_options(
    modules: ModulesOnly, plan: Plan, settings: list[Arguments], batches: list[Arguments]
) -> Iterator[list[Arguments]]:
    """What asks for more machines, and what trains less."""
    stage, parallelism = modules.model, plan.parallelism
    smallest = batches[-1] if batches else []
    if isinstance(stage, DetokenizerModule) and stage.config.path is not None and stage.learns == "all":
        attention = ["--model.init_args.learns=attention"]
        yield [attention, attention + smallest]
    if not isinstance(stage, LanguageModule) or stage.lora:
        return
    every = list(chain.from_iterable(settings))
    has_peft = importlib.util.find_spec("peft") is not None
    lora = [LORA, [*LORA, "--data.init_args.sequences_per_batch=1"]] if has_peft else []
    if parallelism.world == 1:  # whoever has one device would rather not hear of a second machine
        yield lora
    if parallelism.strategy == "fsdp2" or "--trainer.strategy=fsdp2" in every:
        yield [
            [*every, *_spread(smallest, more), f"--trainer.num_nodes={parallelism.nodes * more}"]
            for more in NODES
        ]
    if parallelism.world > 1:
        yield lora


def _spread(batches: Arguments, machines: int) -> Arguments:
    """The same step on more machines: as many times fewer micro-batches on each device, and one at least."""
    if not batches:
        return []
    *rest, accumulate = batches
    name, _, number = accumulate.rpartition("=")
    return [*rest, f"{name}={max(1, int(number) // machines)}"]
