"""What a planned stage starts from: predecessors that need not be there, and published parts without their weights."""

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from transformers import PreTrainedTokenizerBase

from lightning_modules.predecessor import PLANNED, maker
from models.model_folder import COMPONENTS, load_components
from training.plan.published import kept_folder, kept_words


class ModulesOnly(Protocol):
    """A command line that was parsed, and whose module and data are there, with nothing configured.

    Attributes:
        config: all settings, `trainer` among them.
        model: the LightningModule.
        datamodule: its data.
    """

    config: Any
    model: LightningModule
    datamodule: LightningDataModule


Read = Callable[[list[str]], ModulesOnly]  # a command line, as train.py takes it


class StandIn:
    """Gives a stage its parts on the meta device.

    A model folder that is there is read by its configs. One that is not is planned from the recipe that makes it, and so
    on down to published parts.

    Args:
        read: makes a sketch of another command line.
    """

    def __init__(self, read: Read) -> None:
        self.read = read
        self.notes: list[str] = []
        self.made: dict[str, dict[str, Any]] = {}
        self.open: list[str] = []

    def parts(self, folder: str) -> dict[str, Any]:
        """The parts of a model folder.

        Raises:
            FileNotFoundError: it is not there, and no recipe makes it.
            ValueError: recipes that start from one another.
        """
        if folder not in self.made:
            there = (Path(folder) / "illume.json").is_file()
            self.made[folder] = _read(folder) if there else self._make(folder)
        return {name: copy.deepcopy(part) for name, part in self.made[folder].items()}

    def source(self, name: str) -> str:
        """A published part's own name, or the folder that stands in for it."""
        folder = kept_folder(name)
        if folder is None:
            return name
        self._say(f"{name} is planned by the config kept here: the hub does not answer")
        return str(folder)

    def words(self, name: str) -> PreTrainedTokenizerBase | None:
        """A tokenizer in place of a published one."""
        return kept_words(name)

    def build(self, module: LightningModule, trainer: SimpleNamespace | None = None) -> LightningModule:
        """Configures a module on the meta device, as a strategy would before training.

        Args:
            module: of a sketch.
            trainer: what the module may ask of its trainer.
        """
        token = PLANNED.set(self)
        module._trainer = trainer
        try:
            with torch.device("meta"):
                module.configure_model()
        finally:
            PLANNED.reset(token)
        return module

    def _make(self, folder: str) -> dict[str, Any]:
        recipe = maker(folder)
        if recipe in self.open:
            raise ValueError(f"recipes start from one another: {' -> '.join([*self.open, recipe])}")
        self.open.append(recipe)
        try:
            sketch = self.read(["--config", recipe])
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{folder} is not there, and no recipe makes it ({recipe})") from error
        module = self.build(sketch.model)
        self.open.pop()
        self._say(f"{folder} is not there: planned from {recipe}, which makes it")
        model = getattr(module, "model", None) or module
        names = (*COMPONENTS, "text_tokenizer", "generation", "prompts")
        parts = {name: getattr(model, name, None) for name in names}
        return {name: part for name, part in parts.items() if part is not None}

    def _say(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _read(folder: str) -> dict[str, Any]:
    with torch.device("meta"):
        return load_components(folder, weights=False)
