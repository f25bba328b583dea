"""Stage `encoder` (playground only): a vision encoder learns to see from captions, standing in for UNIT."""

from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lightning_modules.component_configs import VisionEncoderConfig
from lightning_modules.optimization import RunLength, build_optimizer
from lightning_modules.stage_module import ImageBatch, ImageStage
from models.component_config import build
from models.language.text_tokenizer import text_rows
from models.tokenizer.captioner import Captioner
from models.tokenizer.encoder import VisionEncoder
from models.unified import Illume


class EncoderModule(ImageStage):
    """Encoder and captioner, trained together on detailed captions.

    Args:
        language: model folder whose text tokenizer spells the captions.
        encoder: sizes of the encoder.
        lr: learning rate.
        warmup_steps: of the schedule.
        weight_decay: of AdamW.
    """

    trains = ("encoder",)

    def __init__(
        self,
        language: str,
        encoder: VisionEncoderConfig | None = None,
        lr: float = 1.5e-3,
        warmup_steps: int = 100,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__()
        self.language, self.config, self.lr = language, encoder or VisionEncoderConfig(), lr
        self.warmup_steps, self.weight_decay = warmup_steps, weight_decay

    def build_model(self) -> None:
        """Builds both networks."""
        self._text_tokenizer = self.predecessors.load(self, self.language, "text_tokenizer")["text_tokenizer"]
        self.model = Illume(encoder=build(VisionEncoder, self.config.given, "model.init_args.encoder"))
        self.captioner = Captioner(text_rows(self._text_tokenizer), self.model.encoder.width)

    @property
    def text_tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the captions; it is no part of the model folder."""
        return self._text_tokenizer

    def loss(self, batch: ImageBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Caption loss."""
        loss, accuracy = self.captioner.loss(self.model.encoder(batch.images), batch.captions)
        return loss, {"loss": loss, "caption_accuracy": accuracy}

    def validation_step(self, batch: ImageBatch) -> None:
        """Caption loss on the fixed validation set."""
        self.log_losses("val", batch, **self.loss(batch)[1])

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over both."""
        components = {"encoder": self.model.encoder.parameters(), "captioner": self.captioner.parameters()}
        rates = {"encoder": self.lr, "captioner": self.lr}
        return build_optimizer(
            components, rates, RunLength(self.trainer), self.warmup_steps, self.weight_decay
        )
