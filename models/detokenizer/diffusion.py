"""The detokenizer: one diffusers UNet, conditioned on the reconstructed features, under a diffusers scheduler.

The features are upsampled to the latent grid and concatenated to the noisy latents (as in ILLUME+; ILLUME's own path is
not published). With a stem, the residual is diffused: the image minus the stem's coarse image.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from torch import Tensor, nn

from models.component import Component
from models.detokenizer.checks import check_drawing, check_numbers
from models.detokenizer.stem import Stem

TIMESTEPS = 1000  # of the scheduler
UNET = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "mid_block_type": "UNetMidBlock2D",
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "attention_head_dim": 16,
}


class DiffusionDetokenizer(Component):
    """Reconstructed features (B, N, D) to images, by flow matching."""

    def __init__(
        self,
        image_size: int = 48,  # the paper's is 32 times the grid's, the playground's 8 times
        feature_width: int = 128,
        grid: int = 6,  # side of the feature grid
        patch: int = 2,  # side of the pixels folded into one latent, in place of Stable Diffusion's VAE
        stem: bool = True,
        condition_width: int = 24,  # channels concatenated to the latents
        unet: dict[str, Any] | None = None,  # settings that differ from the playground's
        residual_scale: float = 0.12,  # of the residual, for about unit variance
        steps: int = 12,  # of sampling, by default
    ) -> None:
        super().__init__()
        check_drawing(image_size, grid, steps, TIMESTEPS)
        if patch < 1 or image_size % patch:
            raise ValueError(f"image_size {image_size} is no multiple of patch {patch}")
        self.image_size, self.grid, self.patch, self.steps = image_size, grid, patch, steps
        self.scale = residual_scale if stem else 0.5
        self.stem = Stem(feature_width, grid) if stem else None
        self.condition = nn.Linear(feature_width, 4 * condition_width)  # then one pixel shuffle
        latents = 3 * patch * patch
        sizes = UNET | (unet or {})
        check_numbers(UNet2DConditionModel, sizes, "the UNet")
        self.unet = UNet2DConditionModel(
            sample_size=image_size // patch,
            in_channels=latents * (2 if stem else 1) + condition_width,
            out_channels=latents,
            **sizes,
        )
        self.config["unet"] = sizes  # a folder must not depend on today's defaults
        self.scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=TIMESTEPS)
        # the layout that CPU convolutions like best
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _condition(self, features: Tensor, coarse: Tensor | None) -> Tensor:
        """What is concatenated to the noisy latents (B, C, h, w)."""
        condition = upsample_features(self.condition(features), self.grid, self.image_size // self.patch)
        return (
            condition if coarse is None else torch.cat([condition, F.pixel_unshuffle(coarse, self.patch)], 1)
        )

    def _velocity(self, noisy: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        """The UNet's velocity (noise - data) at noise level sigma (B,)."""
        inputs = torch.cat([noisy, condition], 1).to(self.unet.dtype, memory_format=torch.channels_last)
        return self.unet(inputs, sigma * 1000, encoder_hidden_states=None).sample.float()

    def loss(self, features: Tensor, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Flow-matching loss on images (B, 3, H, W) in -1 to 1; the stem gets no gradient."""
        with torch.no_grad():
            coarse = None if self.stem is None else self.stem(features)
        data = F.pixel_unshuffle((pixels if coarse is None else pixels - coarse) / self.scale, self.patch)
        noise = torch.randn(data.shape, generator=generator, device=data.device)
        sigma = torch.sigmoid(torch.randn(len(data), generator=generator, device=data.device))
        mix = sigma[:, None, None, None]
        noisy = (1 - mix) * data + mix * noise
        velocity = self._velocity(noisy, sigma, self._condition(features, coarse))
        return F.mse_loss(velocity, noise - data)

    @torch.no_grad()
    def decode(self, features: Tensor, seeds: list[int], steps: int | None = None) -> Tensor:
        """Features (B, N, D) -> images (B, 3, H, W) uint8. A seed fixes its image whatever the batch around it."""
        features = features.to(self.condition.weight.dtype)
        coarse = None if self.stem is None else self.stem(features)
        condition = self._condition(features, coarse)
        side = self.image_size // self.patch
        x = seeded_noise(seeds, 3 * self.patch**2, side, side).to(features.device)
        self.scheduler.set_timesteps(steps or self.steps, device=features.device)
        for t, sigma in zip(self.scheduler.timesteps, self.scheduler.sigmas, strict=False):
            x = self.scheduler.step(self._velocity(x, sigma.expand(len(x)), condition), t, x).prev_sample
        image = F.pixel_shuffle(x, self.patch) * self.scale
        return to_uint8(image if coarse is None else image + coarse)


def upsample_features(values: Tensor, grid: int, side: int) -> Tensor:
    """Values (B, grid * grid, 4 C) of a feature grid -> (B, C, side, side): a pixel shuffle, then bilinearly."""
    shuffled = F.pixel_shuffle(values.transpose(1, 2).unflatten(2, (grid, grid)), 2)
    return F.interpolate(shuffled, size=(side, side), mode="bilinear")


def seeded_noise(seeds: Sequence[int], *shape: int) -> Tensor:
    """Normal noise (B, *shape) on the CPU: a seed gives the same on every device, and whatever the batch around it."""
    return torch.stack(
        [torch.randn(shape, generator=torch.Generator().manual_seed(s), device="cpu") for s in seeds]
    )


def to_uint8(pixels: Tensor) -> Tensor:
    """(..., H, W) in -1 to 1 -> uint8."""
    return ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def to_pixels(images: Tensor) -> Tensor:
    """uint8 -> -1 to 1."""
    return images.float() / 127.5 - 1
