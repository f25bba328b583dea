"""What a planned stage starts from: predecessors that need not be there, and published models without their weights."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from braceexpand import braceexpand
from lightning.pytorch import LightningModule
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from lightning_modules.component_configs import TextTokenizerConfig
from lightning_modules.predecessor import Predecessors, config_producing
from lightning_modules.stage_module import StageModule
from models.model_folder import COMPONENTS, load_components
from models.prompts import Prompts
from training.experiment import ModulesOnly
from training.plan.published import FOLDER, blank_text_tokenizer, kept_config

Read = Callable[[list[str]], ModulesOnly]  # a command line, as train.py takes it


class PlannedPredecessors(Predecessors):
    """Gives a stage its components on the meta device.

    A model folder that is there is read by its configs. One that is not is planned from the recipe that makes it, and so
    on down to published models.

    `read` builds the modules of another command line; `notes` are of what was planned otherwise than by its own config.
    """

    weights = False

    def __init__(self, read: Read) -> None:
        self.read = read
        self.notes: dict[str, None] = {}
        self.loaded: dict[str, dict[str, Any]] = {}
        self.open: list[str] = []

    def load(self, stage: LightningModule, folder: str, *names: str) -> dict[str, Any]:
        """Components of a model folder, or of what the recipe that makes it would export.

        Raises:
            FileNotFoundError: it is not there, and no recipe makes it.
            ValueError: recipes that start from one another.
        """
        if folder not in self.loaded:
            is_there = (Path(folder) / "illume.json").is_file()
            with torch.device("meta"):
                read = partial(load_components, weights=False) if is_there else self._plan
                self.loaded[folder] = read(folder)
        found = self.loaded[folder]
        return {name: copy.deepcopy(found[name]) for name in names or found}

    def locate(self, source: str) -> str:
        """A published model's own name, or the folder that stands in for it."""
        if (kept := kept_config(source)) is None:
            return source
        self.notes.setdefault(f"{source} is planned from its stored config: the hub does not answer")
        return str(FOLDER / kept["folder"])

    def replacing_tokenizer(self, source: str) -> PreTrainedTokenizerBase | None:
        """A blank tokenizer, where a config stands in for a published model."""
        if (kept := kept_config(source)) is None:
            return None
        tokenizer = blank_text_tokenizer(kept["pieces"], kept["special"])
        tokenizer.chat_template = kept.get("chat_template")
        return tokenizer

    def train_text_tokenizer(self, config: TextTokenizerConfig, prompts: Prompts) -> PreTrainedTokenizerFast:
        """The tokenizer, or a blank one of its size where the shards are not here: few words make fewer pieces."""
        if all(Path(shard).is_file() for shard in braceexpand(config.shards)):
            return super().train_text_tokenizer(config, prompts)
        return blank_text_tokenizer(config.size)

    def configure(self, stage: StageModule, trainer: SimpleNamespace | None = None) -> None:
        """Configures a stage on the meta device, with what it may ask of its trainer."""
        stage.predecessors, stage._trainer = self, trainer
        with torch.device("meta"):
            stage.configure_model()

    def _plan(self, folder: str) -> dict[str, Any]:
        recipe = config_producing(folder)
        if recipe in self.open:
            raise ValueError(f"recipes start from one another: {' -> '.join([*self.open, recipe])}")
        self.open.append(recipe)
        try:
            stage = self.read(["--config", recipe]).model
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{folder} is not there, and no recipe makes it ({recipe})") from error
        self.configure(stage)
        self.open.pop()
        self.notes.setdefault(f"{folder} is not there: planned from {recipe}, which makes it")
        names = (*COMPONENTS, "text_tokenizer", "generation", "prompts")
        return {name: own for name in names if (own := getattr(stage.model, name)) is not None}
