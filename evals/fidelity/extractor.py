"""Features of images by a network, a batch at a time, and their cache on disk."""

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.files import write_bytes
from common.images import centre_square, open_image
from common.progress import progress
from evals.image_sets import ImageFile
from judges.pixels import image_to_tensor

BATCH = 32
READ_VERSION = 2  # of how images are opened; cached features of an older one are not used
Features = dict[str, Tensor]  # by layer, each (N, D) float32


@dataclass(frozen=True)
class Extractor:
    """A network that scores are defined on."""

    network: nn.Module  # images (B, 3, H, W) uint8 -> features (B, D) of each layer, as torch-fidelity's do
    layers: tuple[str, ...]  # that of FID and KID first, then that of IS, if at all
    about: dict[str, Any]  # what a report says of it, and what tells its features from another's
    device: str = "cpu"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """Features of images (B, 3, H, W) uint8."""
        found = self.network(images.to(self.device))
        return {name: layer.float().cpu() for name, layer in zip(self.layers, found, strict=True)}


def features_of(
    files: Sequence[ImageFile], extractor: Extractor, cache: Path | None = None, side: int | None = None
) -> Features:
    """Features of images of any sizes, in order; with a `side`, of their centre squares.

    The folder `cache` keeps the features of each batch under a hash of all that they depend on, so that a command which
    was killed, and the next one on the same images, take them from there. Raises ValueError if an image cannot be read.
    """
    parts: list[Features] = []
    for start in progress(range(0, len(files), BATCH), "batches of images have features"):
        contents = [(file.read(), file.where) for file in files[start : start + BATCH]]
        path = None if cache is None else cache / f"{_key(contents, extractor, side)}.npz"
        features = _read(path, extractor.layers) if path is not None else None
        if features is None:
            features = _extract(contents, extractor, side)
            if path is not None:
                write_bytes(path, _pack(features))
        parts.append(features)
    return {name: torch.cat([part[name] for part in parts]) for name in extractor.layers}


def _extract(contents: Sequence[tuple[bytes, str]], extractor: Extractor, side: int | None) -> Features:
    """Features of encoded images; those of one size go through the network together."""
    images = []
    for content, where in contents:
        image = open_image(content, where)
        images.append(image_to_tensor(image if side is None else centre_square(image, side)))
    by_size: dict[torch.Size, list[int]] = {}
    for i, image in enumerate(images):
        by_size.setdefault(image.shape, []).append(i)
    groups = [extractor(torch.stack([images[i] for i in group])) for group in by_size.values()]
    order = torch.tensor([i for group in by_size.values() for i in group]).argsort()
    return {name: torch.cat([group[name] for group in groups])[order] for name in extractor.layers}


def _key(contents: Sequence[tuple[bytes, str]], extractor: Extractor, side: int | None) -> str:
    digest = hashlib.sha256(json.dumps([extractor.about, extractor.layers, side, READ_VERSION]).encode())
    for content, _ in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:32]


def _pack(features: Features) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name: layer.numpy() for name, layer in features.items()})
    return buffer.getvalue()


def _read(path: Path, layers: Sequence[str]) -> Features | None:
    """Cached features; None where there are none, or where they are damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in layers}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
