"""Where a stage starts: model folders of other stages and published models, or a clear line that one is missing."""

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import torch
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from common.files import atomic, write_text
from common.safe_yaml import read_yaml
from datamodules.texts import read_texts
from lightning_modules.component_configs import PublishedEncoderConfig, TextTokenizerConfig
from models.folder_hash import folder_hash
from models.language.text_tokenizer import train_text_tokenizer
from models.model_folder import load_components
from models.prompts import Prompts
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.pretrained_encoder import PretrainedEncoder, read_encoder
from models.tokenizer.unit import is_unit, read_unit

Encoder = VisionEncoder | PretrainedEncoder
CONFIGS = Path(__file__).resolve().parent.parent / "configs"
CONFIG_DIRS = (CONFIGS, CONFIGS / "playground")  # configs in these are named without their folder


class Predecessors:
    """Gives a stage the components that it starts from; a plan has its own, which has no weights.

    Attributes:
        weights: whether components hold numbers; else they are on the meta device.
    """

    weights = True

    def locate(self, source: str) -> str:
        """Where a published model is read: a folder, or a name on the Hugging Face hub."""
        return source

    def replacing_tokenizer(self, source: str) -> PreTrainedTokenizerBase | None:
        """A tokenizer in place of a published language model's own; None: its own."""
        return None

    def load(self, stage: L.LightningModule, folder: str, *names: str) -> dict[str, Any]:
        """Components (all, where none is named) of a predecessor's model folder.

        Their configs are kept in the run folder: a run that resumes needs its predecessor no more, for the weights are
        in the checkpoint.

        Raises:
            FileNotFoundError: it is not there; the message names the command that makes it.
        """
        trainer: Any = stage._trainer  # None where a module is used alone, as in a notebook
        run = Path(trainer.default_root_dir) if trainer else None
        kept: Any = run / "predecessors" / "-".join(Path(folder).parts).strip("-/") if run else None
        resumes = bool(trainer and trainer.ckpt_path and (kept / "illume.json").is_file())
        if (Path(folder) / "illume.json").is_file():
            if kept and trainer.is_global_zero and not trainer.fast_dev_run and not resumes:
                with atomic(kept) as scratch:
                    shutil.copytree(folder, scratch, ignore=shutil.ignore_patterns("*.safetensors"))
                    if not trainer.ckpt_path:  # a run that resumes has its weights from its checkpoint
                        write_text(scratch / "weights.json", json.dumps({"hash": folder_hash(folder)}) + "\n")
            return load_components(folder, names)
        if resumes:
            with torch.device("meta") if loads_from_checkpoint(stage) else nullcontext():
                return load_components(kept, names, weights=False)
        raise FileNotFoundError(_missing(folder, run.name if run else "this"))

    def load_encoder(self, stage: L.LightningModule, given: str | PublishedEncoderConfig) -> Encoder:
        """The encoder of a model folder, or a published one.

        Raises:
            FileNotFoundError: it is not there.
            ValueError: it does not load, or has no such setting.
        """
        if isinstance(given, str):
            return self.load(stage, given, "encoder")["encoder"]
        if given.path is None:
            raise ValueError(
                "model.init_args.encoder lacks `path`: a folder, or a name on the Hugging Face hub"
            )
        source = self.locate(given.path)
        read = read_unit if is_unit(Path(source)) else read_encoder
        return read(source, weights=self.weights, **given.settings)

    def train_text_tokenizer(self, config: TextTokenizerConfig, prompts: Prompts) -> PreTrainedTokenizerFast:
        """A text tokenizer trained from scratch on the model's prompts and the texts of shards."""
        texts = read_texts(config.shards, "model.init_args.text_tokenizer.shards")
        return train_text_tokenizer([*prompts.texts, config.more, *texts], config.size)


def loads_from_checkpoint(stage: L.LightningModule) -> bool:
    """Whether each process reads its share from a checkpoint, and no weights are wanted before: a sharded run resumes."""
    return stage.device_mesh is not None and bool(stage.trainer.ckpt_path)


def config_producing(folder: str) -> str:
    """The config whose run makes the model folder `runs/NAME/model`, as --config takes it."""
    run = Path(folder).parent
    for path in sorted(CONFIGS.rglob("*.yaml")):
        config = read_yaml(path)
        name = config.get("name") if isinstance(config, dict) else None
        if name and f"/{run.as_posix()}".endswith(f"/{name}"):
            return path.name if path.parent in CONFIG_DIRS else path.relative_to(CONFIGS).as_posix()
    return f"{run.name}.yaml"


def _missing(folder: str, who: str) -> str:
    config = config_producing(folder)
    known = any((directory / config).is_file() for directory in CONFIG_DIRS)
    hint = (
        f"run `python train.py --config {config}`"
        if known or Path(folder).name == "model"
        else "name the model folder of a run, as runs/playground/stage2/model, or pretrained/playground"
    )
    return f"{who} starts from {folder}, which is not there: {hint}"
