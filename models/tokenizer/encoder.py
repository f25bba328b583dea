"""The vision encoder: an image to a grid of continuous features.

On the playground a small convolutional stem before a transformer stands in for UNIT (ILLUME's encoder), trained from
scratch on captions (`captioner.py`).
"""

import torch
from torch import Tensor, nn

from models.component import Component
from models.distributed import SyncBatchNorm2d
from models.precision import FullPrecision
from models.tokenizer.blocks import TransformerBlock


class VisionEncoder(FullPrecision, Component):
    """Four convolutions that halve the image three times, learned positions, transformer blocks, a final norm.

    Args:
        image_size: side of the square image in pixels, a multiple of 8.
        width: channels D of the features.
        layers: transformer blocks.
        heads: attention heads.
    """

    def __init__(self, image_size: int = 48, width: int = 128, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        if image_size % 8:
            raise ValueError(f"image_size {image_size} is not a multiple of the stem's stride 8")
        self.image_size, self.width, self.grid = image_size, width, image_size // 8
        widths, stem = (3, width // 4, width // 2, width), []
        for inside, outside in zip(widths, widths[1:], strict=False):
            stem += [nn.Conv2d(inside, outside, 3, stride=2, padding=1), SyncBatchNorm2d(outside), nn.GELU()]
        self.stem = nn.Sequential(*stem, nn.Conv2d(width, width, 1))
        self.positions = nn.Parameter(0.02 * torch.randn(1, self.tokens, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    @property
    def tokens(self) -> int:
        """Features of an image."""
        return self.grid * self.grid

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 of `image_size` -> (B, N, D) features of zero mean and unit variance over D."""
        check_size(images, self.image_size)
        pixels = images.to(self.positions.dtype) / 127.5 - 1
        grid = self.stem(pixels.contiguous(memory_format=torch.channels_last))  # (B, D, h, w)
        return self.norm(self.blocks(grid.flatten(2).transpose(1, 2) + self.positions))


def check_size(images: Tensor, size: int) -> None:
    """Raises ValueError where images (B, 3, H, W) are not of a size: an encoder that resized them would change codes."""
    if images.shape[-2:] != (size, size):
        raise ValueError(
            f"images are {tuple(images.shape[-2:])}, the encoder takes {size} x {size}: "
            "bring them to that size by models.image_input"
        )
