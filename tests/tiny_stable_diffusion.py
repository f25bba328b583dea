"""Stable Diffusion 1.5, 2.1 and XL as folders of the real classes, in their shapes and a few channels."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    UNet2DConditionModel,
)

NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
SMALL = {
    "block_out_channels": (8, 16),
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "sample_size": 24,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
UNETS = {
    "1.5": SMALL | {"cross_attention_dim": 12, "attention_head_dim": 2},
    "2.1": SMALL
    | {
        "cross_attention_dim": 16,
        "attention_head_dim": (1, 2),
        "use_linear_projection": True,
        "upcast_attention": True,
    },
    "xl": SMALL
    | {
        "cross_attention_dim": 20,
        "attention_head_dim": (1, 2),
        "use_linear_projection": True,
        "transformer_layers_per_block": (1, 2),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 6 * 4 + 10,
    },
}
VAE = {
    "block_out_channels": (4, 8),
    "norm_num_groups": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
}
SCHEDULERS = {
    "1.5": lambda: PNDMScheduler(**NOISE, skip_prk_steps=True),
    "2.1": lambda: DDIMScheduler(**NOISE, prediction_type="v_prediction", clip_sample=False),
    "xl": lambda: EulerDiscreteScheduler(**NOISE, timestep_spacing="leading"),
}


def save_stable_diffusion(folder: Path, version: str, **how: object) -> Path:
    """Writes a random one; `how` goes to the UNet's save_pretrained."""
    torch.manual_seed(1)
    UNet2DConditionModel(**UNETS[version]).save_pretrained(folder / "unet", **how)
    AutoencoderKL(**VAE).save_pretrained(folder / "vae")
    SCHEDULERS[version]().save_pretrained(folder / "scheduler")
    return folder
