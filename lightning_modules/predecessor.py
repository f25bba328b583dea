"""Where a stage starts: the model folder of another, a published model, or a clear word that it is not there."""

import json
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

import lightning as L
import torch
from transformers import PreTrainedTokenizerBase

from common.files import atomic, write_text
from common.safe_yaml import read_yaml
from models.model_folder import folder_hash, load_parts
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.pretrained_encoder import PretrainedEncoder, read_encoder
from models.tokenizer.unit import is_unit, read_unit

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
SHORT = (CONFIGS, CONFIGS / "playground")  # configs in these are named without their folder


class Planned(Protocol):
    """What stands in for weights while a run is only planned."""

    def parts(self, folder: str) -> dict[str, Any]:
        """The parts of a predecessor's model folder, without weights, whether it is there or not."""

    def source(self, name: str) -> str:
        """Where the config of a published part is read: `name` itself, or a folder that says the same."""

    def words(self, name: str) -> PreTrainedTokenizerBase | None:
        """The text tokenizer of a published part whose own cannot be had; None: its own."""


PLANNED: ContextVar[Planned | None] = ContextVar("PLANNED", default=None)  # set while a run is only planned


def encoder_of(
    module: L.LightningModule, given: str | Mapping[str, Any]
) -> VisionEncoder | PretrainedEncoder:
    """The encoder of a model folder, or a published one: `{from: FOLDER_OR_NAME, image_size: 224, ...}`.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it does not load, or a setting of the recipe is not known.
    """
    if isinstance(given, str):
        return parts_of(module, given, "encoder")["encoder"]
    settings = dict(given)
    source = settings.pop("from", None)
    if not isinstance(source, str):
        raise ValueError("model.init_args.encoder lacks `from`: a folder, or a name on the Hugging Face hub")
    planned = PLANNED.get()
    source = source if planned is None else planned.source(source)
    if is_unit(Path(source)):
        return read_unit(source, weights=planned is None, **settings)
    return read_encoder(source, weights=planned is None, **settings)


def parts_of(module: L.LightningModule, folder: str, *names: str) -> dict[str, Any]:
    """Loads parts (all, where none is named) from a predecessor's model folder.

    Their configs are kept in the run folder: a run that resumes needs its predecessor no more, for the weights are in
    the checkpoint.

    Raises:
        FileNotFoundError: it is not there; the message names the command that makes it.
    """
    if (planned := PLANNED.get()) is not None:
        parts = planned.parts(folder)
        return {name: parts[name] for name in names or parts}
    trainer = module._trainer  # None where a module is used alone, as in a notebook
    run = Path(trainer.default_root_dir) if trainer else None
    kept = run / "predecessors" / "-".join(Path(folder).parts).strip("-/") if run else None
    if (Path(folder) / "illume.json").is_file():
        known = trainer and trainer.ckpt_path and (kept / "illume.json").is_file()
        if kept and trainer.is_global_zero and not trainer.fast_dev_run and not known:
            with atomic(kept) as scratch:
                shutil.copytree(folder, scratch, ignore=shutil.ignore_patterns("*.safetensors"))
                if not trainer.ckpt_path:  # a run that resumes has its weights from its checkpoint
                    write_text(scratch / "weights.json", json.dumps({"hash": folder_hash(folder)}) + "\n")
        return load_parts(folder, names)
    if kept and trainer.ckpt_path and (kept / "illume.json").is_file():
        with torch.device("meta") if is_filled_later(module) else nullcontext():
            return load_parts(kept, names, weights=False)
    config = maker(folder)
    there = any((place / config).is_file() for place in SHORT)
    made_by = f"run `python train.py --config {config}`" if there or Path(folder).name == "model" else ""
    raise FileNotFoundError(
        f"{run.name if run else 'this'} starts from {folder}, which is not there: "
        f"{made_by or 'name the model folder of a run, as runs/playground/stage2/model, or pretrained/playground'}"
    )


def is_filled_later(module: L.LightningModule) -> bool:
    """Whether each process reads its share from a checkpoint, and no weights are wanted before: a sharded run resumes."""
    return module.device_mesh is not None and bool(module.trainer.ckpt_path)


def maker(folder: str) -> str:
    """The config whose run makes the model folder `runs/NAME/model`, as --config takes it."""
    run = Path(folder).parent
    for path in sorted(CONFIGS.rglob("*.yaml")):
        config = read_yaml(path)
        name = config.get("name") if isinstance(config, dict) else None
        if name and f"/{run.as_posix()}".endswith(f"/{name}"):
            return path.name if path.parent in SHORT else path.relative_to(CONFIGS).as_posix()
    return f"{run.name}.yaml"
