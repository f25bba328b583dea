"""What a callback that draws asks of the stage's model before training, and the note of how it draws."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from common.files import write_text
from common.json_files import read_object
from lightning_modules.stage_module import StageModule
from models.generation import SamplingConfig, check_top_k
from models.unified import Illume

NOTE = "sampling.json"  # of the run's folder: cfg, temperature, top_k and top_p of every callback that draws


def require_components(stage: StageModule | Illume, who: str, components: Sequence[str]) -> Illume:
    """The stage's model, if it holds what a callback works with.

    Raises:
        ValueError: one is missing; the message names the setting that brings it.
    """
    model = stage if isinstance(stage, Illume) else stage.model
    missing = [name for name in components if getattr(model, name) is None]
    if not missing:
        return model
    lacks = f"{who} cannot work on this stage, whose model has no {' and no '.join(missing)}: "
    start = None if isinstance(stage, Illume) else stage.start_setting
    if start is None:  # of a stage that makes another component
        raise ValueError(f"{lacks}lay it over a stage that has, or leave it out")
    settings = " and ".join(f"{start}.{name}" for name in missing)
    raise ValueError(f"{lacks}set {settings} to a model folder that holds it, or leave {who} out")


def resolve_sampling(model: Illume, task: str, given: SamplingConfig, who: str) -> dict[str, Any]:
    """cfg, temperature, top_k and top_p: a callback's own, or else the model's for the task (draw or edit).

    Raises:
        ValueError: top_k is more than the model has codes.
    """
    own: SamplingConfig = getattr(model.generation, task)
    sampling = own.override(given)
    check_top_k(sampling.top_k, model.language.vocabulary.codes, f"{who}: ")
    return asdict(sampling)


def record_sampling(trainer: Trainer, who: str, sampling: Mapping[str, Any]) -> None:
    """Writes down in the run's folder how a callback draws."""
    if not trainer.is_global_zero or trainer.fast_dev_run:
        return
    path = Path(trainer.default_root_dir) / NOTE
    known = read_object(path) if path.is_file() else {}
    if known.get(who) != sampling:
        write_text(path, json.dumps(known | {who: sampling}, indent=1) + "\n")
