"""Pictures to features, a batch at a time, kept on disk where that is wanted."""

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
from evals.image_sets import Picture
from judges.pixels import image_to_tensor

BATCH = 32
READ = 2  # how images are opened; kept features of images that were opened otherwise are not taken
Features = dict[str, Tensor]  # by layer, each (N, D) float32


@dataclass(frozen=True)
class Extractor:
    """A network that scores are defined on.

    Args:
        network: images (B, 3, H, W) uint8 to a tuple of features (B, D), one for each layer, as torch-fidelity's do.
        layers: their names; the one of FID and KID comes first, that of IS, if at all, after it.
        about: what a report says of it, and what tells its features from another's.
        device: where it computes.
    """

    network: nn.Module
    layers: tuple[str, ...]
    about: dict[str, Any]
    device: str = "cpu"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """Features of images (B, 3, H, W) uint8."""
        found = self.network(images.to(self.device))
        return {name: layer.float().cpu() for name, layer in zip(self.layers, found, strict=True)}


def features_of(
    pictures: Sequence[Picture], extractor: Extractor, keep: Path | None = None, side: int | None = None
) -> Features:
    """Features of pictures, in order.

    Args:
        pictures: of any sizes.
        extractor: of their features.
        keep: folder where the features of each batch are kept under a hash of all that they depend on, so that a
            command which was killed, and the next one on the same images, take them from there.
        side: if given, the size of the centre square that is taken of each.

    Raises:
        ValueError: a picture cannot be read.
    """
    parts: list[Features] = []
    for at in progress(range(0, len(pictures), BATCH), "batches of images have features"):
        contents = [(picture, picture.read()) for picture in pictures[at : at + BATCH]]
        kept = None if keep is None else keep / f"{_key(contents, extractor, side)}.npz"
        found = _read(kept, extractor.layers) if kept is not None else None
        if found is None:
            found = _extract(contents, extractor, side)
            if kept is not None:
                write_bytes(kept, _packed(found))
        parts.append(found)
    return {name: torch.cat([part[name] for part in parts]) for name in extractor.layers}


def _extract(contents: Sequence[tuple[Picture, bytes]], extractor: Extractor, side: int | None) -> Features:
    """Images of one size go through the network together."""
    images = []
    for picture, content in contents:
        image = open_image(content, picture.where)
        images.append(image_to_tensor(image if side is None else centre_square(image, side)))
    places: dict[torch.Size, list[int]] = {}
    for place, image in enumerate(images):
        places.setdefault(image.shape, []).append(place)
    groups = [extractor(torch.stack([images[i] for i in group])) for group in places.values()]
    order = torch.tensor([i for group in places.values() for i in group]).argsort()
    return {name: torch.cat([group[name] for group in groups])[order] for name in extractor.layers}


def _key(contents: Sequence[tuple[Picture, bytes]], extractor: Extractor, side: int | None) -> str:
    digest = hashlib.sha256(json.dumps([extractor.about, extractor.layers, side, READ]).encode())
    for _, content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:32]


def _packed(features: Features) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name: layer.numpy() for name, layer in features.items()})
    return buffer.getvalue()


def _read(path: Path, layers: Sequence[str]) -> Features | None:
    """Kept features; None where there are none, or where they are damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in layers}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
