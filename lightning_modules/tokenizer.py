"""Stage `tokenizer`: codebook and feature decoder learn to rebuild the frozen encoder's features."""

from typing import ClassVar

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from lightning_modules.component_configs import PublishedEncoderConfig, TokenizerConfig
from lightning_modules.optimization import RunLength, build_optimizer
from lightning_modules.stage_module import ImageBatch, ImageStage
from models.component_config import build
from models.precision import frozen_features
from models.tokenizer.augmentation import augment_view
from models.tokenizer.quantizer import perplexity
from models.tokenizer.semantic import SemanticTokenizer, TokenizerLoss
from models.unified import Illume


class TokenizerModule(ImageStage):
    """The semantic tokenizer on a frozen encoder.

    Args:
        encoder: model folder that holds the encoder, or settings of a published one: `{path: NAME, image_size: 224}`.
        tokenizer: its settings.
        lr: learning rate.
        warmup_steps: of the schedule.
        view_weight: weight of the pull that gives two views of an image, in other light and grain, the same codes
            (0 in the paper, as far as it is published).
    """

    trains: ClassVar[tuple[str, ...]] = ("tokenizer",)
    measured = "loss_feature"  # name of the reconstruction loss

    def __init__(
        self,
        encoder: str | PublishedEncoderConfig,
        tokenizer: TokenizerConfig | None = None,
        lr: float = 2e-3,
        warmup_steps: int = 50,
        view_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder_config, self.config = encoder, tokenizer or TokenizerConfig()
        self.lr, self.warmup_steps = lr, warmup_steps
        self.view_weight = view_weight

    def build_model(self) -> None:
        """Loads the encoder and builds the tokenizer."""
        encoder = self.predecessors.load_encoder(self, self.encoder_config).eval().requires_grad_(False)
        self.check_image_size(encoder.image_size, "encoder takes")
        sizes = {"feature_width": encoder.width, "tokens": encoder.tokens} | self.config.given
        tokenizer = build(SemanticTokenizer, sizes, "model.init_args.tokenizer")
        self.model = Illume(encoder=encoder, tokenizer=tokenizer)

    def loss(self, batch: ImageBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Feature and quantizer loss, and the distance of two views where it has a weight."""
        tokenizer, features = self.model.tokenizer, self.features(batch.images)
        made = tokenizer(features)
        total = made.total
        if self.view_weight:
            others = self.features(augment_view(batch.images))
            total = total + self.view_weight * tokenizer.view_loss(features, others)
        return total, {"loss": total, self.measured: made.feature}

    def features(self, images: Tensor) -> Tensor:
        """Features of the frozen encoder: (B, 3, H, W) uint8 -> (B, N, D)."""
        return frozen_features(self.model.encoder, images)

    def reconstruct(self, batch: ImageBatch) -> TokenizerLoss:
        """The losses of rebuilding a batch, and its codes."""
        return self.model.tokenizer(self.features(batch.images))

    def on_validation_epoch_start(self) -> None:
        """Resets the counts of codes."""
        self.counts = torch.zeros(self.model.tokenizer.codes, dtype=torch.long, device=self.device)

    def validation_step(self, batch: ImageBatch) -> None:
        """Reconstruction loss on the fixed validation set."""
        made = self.reconstruct(batch)
        self.counts += torch.bincount(made.codes.flatten(), minlength=len(self.counts))
        self.log_losses("val", batch, **{self.measured: made.feature})

    def on_validation_epoch_end(self) -> None:
        """Codebook use over all ranks."""
        self.counts = self.trainer.strategy.reduce(self.counts, reduce_op="sum")
        used = (self.counts > 0).float().mean()
        self.log_dict({"val/codes_used": used, "val/perplexity": perplexity(self.counts)}, prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over all that trains."""
        components = {name: getattr(self.model, name).parameters() for name in self.trains}
        return build_optimizer(
            components, dict.fromkeys(components, self.lr), RunLength(self.trainer), self.warmup_steps
        )
