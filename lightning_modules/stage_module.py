"""The base class of every stage: what callbacks, datamodules and the run rely on."""

from pathlib import Path
from typing import Any, ClassVar, Protocol

import lightning as L
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from transformers import PreTrainedTokenizerBase

from lightning_modules.predecessor import Predecessors
from models.image_input import ImageInput
from models.sequence import Sequencer
from models.unified import Illume


class StageModule(L.LightningModule):
    """A stage: one model, one loss, one optimizer.

    A subclass has `build_model` (its networks), `loss`, `validation_step` and `configure_optimizers`, and overrides what
    has no effect here (items, sharding, fingerprints) where it has any.

    Attributes:
        model: what the stage trains and exports; empty before `configure_model`.
        predecessors: gives the components that the stage starts from.
        ema: running mean of the detokenizer's UNet, drawn with and exported in its place; None: there is none.
    """

    items_name: ClassVar[str] = "items"  # what `items_in_batch` counts, for progress and speed
    start_setting: ClassVar[str | None] = None  # the setting that brings a missing component into the model

    def __init__(self) -> None:
        super().__init__()
        self.model = Illume()
        self.predecessors = Predecessors()
        self.ema: AveragedModel | None = None
        self.is_configured = False

    def configure_model(self) -> None:
        """Builds the networks, once: Lightning calls it before every fit and validation."""
        if not self.is_configured:
            self.build_model()
            self.is_configured = True
            self.train(self.training)  # Lightning does not: a frozen codebook must not move

    def build_model(self) -> None:
        """Loads what is there into `model`, and builds the rest; on the meta device too."""

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The training loss, with gradients, and what is logged of it."""
        raise NotImplementedError(f"{type(self).__name__} has no loss")

    @property
    def models(self) -> list[Illume]:
        """All models that learn from a batch: one, but in a comparison."""
        return [self.model]

    @property
    def phase_starts(self) -> tuple[int, ...]:
        """Steps from which `loss` trains something else."""
        return (0,)

    @property
    def sequencer(self) -> Sequencer:
        """Turns documents into tokens, for the datamodule."""
        return self.model.sequencer

    @property
    def text_tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The tokenizer of texts and captions; None: this stage reads none."""
        return self.model.text_tokenizer

    @property
    def code_input(self) -> ImageInput | None:
        """How images come to what makes their codes, where the data's are of another size; None: they are not."""
        return None

    @property
    def fingerprints(self) -> dict[str, str]:
        """What precomputed codes and features must bear, by kind; a kind that is missing cannot be used."""
        return {}

    def items_in_batch(self, batch: Any) -> int | Tensor:
        """Items of a batch on this rank; a tensor stays on its device, so that nobody waits for it."""
        return 0

    def gradient_factor(self) -> Tensor | float:
        """What turns gradients into means before the optimizer's step; the same on every rank."""
        return 1.0

    def check_shardable(self) -> None:
        """Makes sure that this stage can be sharded (FSDP2).

        Raises:
            ValueError: it cannot, or one of its settings cannot.
        """
        raise ValueError(
            f"trainer.strategy fsdp2 shards a language model, and {type(self).__name__} trains whole: give ddp"
        )

    def gather(self) -> None:
        """Brings sharded weights to the first process, for `export`; every process must call it."""

    def export(self, folder: str | Path) -> None:
        """Writes the model folder; `gather` comes first."""
        self.model.save_pretrained(str(folder))


class ImageBatch(Protocol):
    """images (B, 3, H, W) uint8; captions (B, T) text ids, padded by -1; code_images (B, 3, h, w) of `code_input`."""

    images: Tensor
    captions: Tensor
    code_images: Tensor | None


class ImageStage(StageModule):
    """A stage on images: logs its losses as they are, with only what `trains` names in training mode."""

    items_name = "images"
    trains: ClassVar[tuple[str, ...]] = ()

    def train(self, mode: bool = True) -> "ImageStage":
        """Frozen components stay in eval mode."""
        super().train(mode)
        for name, component in self.model.named_children():
            component.train(mode and name in self.trains)
        return self

    def training_step(self, batch: ImageBatch) -> Tensor | None:
        """Logs and returns the loss."""
        loss, logged = self.loss(batch)
        self.log_losses("train", batch, **logged)
        return loss

    def log_losses(self, prefix: str, batch: ImageBatch, **losses: Tensor) -> None:
        """Logs losses of a batch, as means over all ranks."""
        named = {f"{prefix}/{name}": value for name, value in losses.items()}
        self.log_dict(named, prog_bar=True, sync_dist=True, batch_size=len(batch.images))

    def items_in_batch(self, batch: ImageBatch) -> int:
        """Images."""
        return len(batch.images)

    def check_image_size(self, wanted: int, who: str) -> None:
        """Makes sure that the data's images are of a size.

        Raises:
            ValueError: they are not; the message has the setting.
        """
        trainer: Any = self._trainer
        data = trainer and trainer.datamodule
        if (size := getattr(data, "image_size", wanted)) != wanted:
            raise ValueError(
                f"the data's images are {size} x {size}, the {who} {wanted} x {wanted}: "
                f"set data.init_args.image_size to {wanted}"
            )
