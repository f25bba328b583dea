"""A language stage small enough to run and to be planned, and plans of recipes, each made once."""

import functools
from types import SimpleNamespace

import torch

import train
from lightning_modules.language import LanguageModule
from models.language.unified_lm import UnifiedLM
from models.unified import Illume
from tests.fixtures import TRUNK, make_tiny_illume
from training.plan.batches import planned_batch
from training.plan.measure import Measurement
from training.plan.meter import Usage
from training.plan.options import Options
from training.plan.parallelism import Parallelism
from training.plan.plan import Plan, plan_run
from training.plan.workload import Workload

DEEP = TRUNK | {"num_hidden_layers": 6, "hidden_size": 64, "intermediate_size": 128}
RATES = {"trunk": 1e-3, "text": 1e-3, "adapter": 1e-3, "vision": 1e-3}
LOAD = Workload(rows=3, length=128, seen=6, drawn=3, encoded=6, texts=40, codes=108, samples=9.0)
ALONE = Parallelism(1, 1, "single", "32-true", 1, 10, False)


def language_stage(device: str = "cpu", muon: tuple[str, ...] = ()) -> LanguageModule:
    """A language stage with a trunk of six layers; on a device, to be planned or to run."""
    stage, tiny = LanguageModule(RATES, {}, muon=list(muon)), make_tiny_illume()
    with torch.device(device):
        language = UnifiedLM(DEEP, len(tiny.text_tokenizer), 64, 32, 36, 36, backend="mask")
    frozen = {"encoder": tiny.encoder, "tokenizer": tiny.tokenizer}
    frozen = {name: component.requires_grad_(False).to(device) for name, component in frozen.items()}
    stage.model = Illume(**frozen, language=language, text_tokenizer=tiny.text_tokenizer)
    stage._trainer = SimpleNamespace(max_steps=10, global_step=0)
    return stage


def loss(stage: LanguageModule, load: Workload = LOAD) -> torch.Tensor:
    """The stage's loss on a planned batch."""
    return stage.loss(planned_batch(stage, load, 48))[0]


def usage(
    stage: LanguageModule, load: Workload = LOAD, precision: str = "32-true", checkpointing: bool = True
) -> Usage:
    """What a plan counts for a micro-batch."""
    return Measurement(stage, 48, precision, set()).usage(load, checkpointing=checkpointing)


@functools.cache
def plan_of(*argv: str) -> Plan:
    """The plan of a command line, on an H100 unless the recipe is for a CPU."""
    return plan_run(train.build_modules(list(argv)), train.build_modules, Options())
