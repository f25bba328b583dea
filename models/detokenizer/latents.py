"""The latent space of Stable Diffusion: a frozen VAE, from pixels to latents of about unit variance and back."""

from contextlib import AbstractContextManager, nullcontext

import torch
from diffusers import AutoencoderKL
from torch import Tensor


@torch.no_grad()
def to_latents(vae: AutoencoderKL, pixels: Tensor, batch: int) -> Tensor:
    """The VAE's mean latents (B, C, h, w) of pixels (B, 3, H, W) in -1 to 1, at most `batch` images at a time."""
    with _precision(vae, pixels.device.type):
        means = [vae.encode(own.to(vae.dtype)).latent_dist.mode() for own in pixels.split(batch)]
    return (torch.cat(means).float() - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor


@torch.no_grad()
def from_latents(vae: AutoencoderKL, latents: Tensor, batch: int) -> Tensor:
    """Pixels (B, 3, H, W) of latents (B, C, h, w), at most `batch` images at a time."""
    latents = latents / vae.config.scaling_factor + (vae.config.shift_factor or 0.0)
    with _precision(vae, latents.device.type):
        pixels = [vae.decode(own.to(vae.dtype)).sample for own in latents.split(batch)]
    return torch.cat(pixels).float()


def _precision(vae: AutoencoderKL, device: str) -> AbstractContextManager:
    """No autocast to fp16 for a VAE that overflows in it, as SDXL's does (`force_upcast`); bfloat16 is wide enough."""
    half = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16
    return torch.autocast(device, enabled=False) if half and vae.config.force_upcast else nullcontext()
