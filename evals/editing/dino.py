"""DINO (arXiv 2104.14294) and DINOv2: an image as the class token of a self-supervised vision transformer."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import Dinov2Model, ViTModel

from evals.published_weights import WeightSource

SHORT, SIDE = 256, 224  # the shorter side after resizing, and the side of the centre crop
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KINDS = {"vit": (ViTModel, {"add_pooling_layer": False}), "dinov2": (Dinov2Model, {})}


class Dino:
    """Encodes images, preprocessed as MagicBrush's scorer does; the published weights are facebook/dino-vits16's."""

    def __init__(self, source: str, device: str = "cpu") -> None:
        weights = WeightSource.parse(source, "--dino")
        config = weights.load_config()
        if config.model_type not in KINDS:
            raise ValueError(
                f"{weights} is a {config.model_type}: give a DINO or DINOv2, best facebook/dino-vits16"
            )
        if config.model_type == "vit" and config.image_size != SIDE:
            raise ValueError(f"{weights} takes images of {config.image_size} pixels, not of {SIDE}")
        kind, settings = KINDS[config.model_type]
        self.network = weights.load_network(kind, device, **settings)
        self.name = weights.identify(self.network, {"short": SHORT, "side": SIDE})

    @torch.no_grad()
    def encode_images(self, images: Sequence[Image.Image]) -> Tensor:
        """RGB images -> unit vectors (K, D)."""
        pixels = torch.stack([preprocess(image) for image in images]).to(self.network.device)
        return F.normalize(self.network(pixels).last_hidden_state[:, 0], dim=-1)


def preprocess(image: Image.Image) -> Tensor:
    """An RGB image -> (3, SIDE, SIDE): resized, its centre cropped, normalized."""
    scale = SHORT / min(image.size)
    size = [SHORT if edge == min(image.size) else int(edge * scale) for edge in image.size]
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (round((edge - SIDE) / 2) for edge in image.size)
    crop = np.asarray(image.crop((left, top, left + SIDE, top + SIDE)), dtype=np.float32) / 255
    return torch.from_numpy((crop - np.float32(MEAN)) / np.float32(STD)).permute(2, 0, 1)
