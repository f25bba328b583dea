"""DINO (arXiv 2104.14294) and DINOv2: what an image shows as the class token of a self-supervised vision transformer."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, Dinov2Model, ViTModel

from evals.pinned_weights import check_pin, split_pin
from evals.published_weights import load, load_network, name_of

SHORT, SIDE = 256, 224  # the shorter side after resizing, and the square that is cut from the middle
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KINDS = {"vit": (ViTModel, {"add_pooling_layer": False}), "dinov2": (Dinov2Model, {})}


class Dino:
    """Images to directions, prepared as MagicBrush's scorer does whichever folder is given.

    Args:
        source: folder or hub name (facebook/dino-vits16 is the published one), perhaps with `@HASH`.
        device: where it runs.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: it does not load, is no DINO, or has other weights.
    """

    def __init__(self, source: str, device: str = "cpu") -> None:
        source, pin = split_pin(source, "--dino")
        config = load(AutoConfig.from_pretrained, source, "--dino")
        if config.model_type not in KINDS:
            raise ValueError(
                f"--dino {source} is a {config.model_type}: give a DINO or DINOv2, best facebook/dino-vits16"
            )
        if config.model_type == "vit" and config.image_size != SIDE:
            raise ValueError(f"--dino {source} takes images of {config.image_size} pixels, not of {SIDE}")
        kind, settings = KINDS[config.model_type]
        self.network = load_network(kind, source, "--dino", device, **settings)
        self.name = name_of(source, self.network, {"short": SHORT, "side": SIDE})
        check_pin(self.name, pin, "--dino")

    @torch.no_grad()
    def see(self, images: Sequence[Image.Image]) -> Tensor:
        """RGB images as directions (K, D) of length 1."""
        pixels = torch.stack([prepared(image) for image in images]).to(self.network.device)
        return F.normalize(self.network(pixels).last_hidden_state[:, 0], dim=-1)


def prepared(image: Image.Image) -> Tensor:
    """An RGB image as the network takes it (3, SIDE, SIDE): resized, its middle cut out, normalized."""
    scale = SHORT / min(image.size)
    size = [SHORT if edge == min(image.size) else int(edge * scale) for edge in image.size]
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (round((edge - SIDE) / 2) for edge in image.size)
    cut = np.asarray(image.crop((left, top, left + SIDE, top + SIDE)), dtype=np.float32) / 255
    return torch.from_numpy((cut - np.float32(MEAN)) / np.float32(DEVIATION)).permute(2, 0, 1)
