"""Stable Diffusion 1.5, 2.1 and XL: folders of the real classes with a few channels, and the published sizes."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    UNet2DConditionModel,
)

from tests.perturb import perturb

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

PUBLISHED_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
PUBLISHED = {  # UNets of 1.5, 2.1 and XL by their parameters, from the config.json of each
    859_520_964: {"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64},
    865_910_724: {
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
        "sample_size": 96,
    },
    2_567_463_684: {
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "use_linear_projection": True,
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}


def save_stable_diffusion(folder: Path, version: str, **how: object) -> Path:
    """Writes a random one; `how` goes to the UNet's save_pretrained."""
    torch.manual_seed(1)
    perturb(UNet2DConditionModel(**UNETS[version]), scale=0.1).save_pretrained(folder / "unet", **how)
    perturb(AutoencoderKL(**VAE), scale=0.1).save_pretrained(folder / "vae")
    SCHEDULERS[version]().save_pretrained(folder / "scheduler")
    return folder
