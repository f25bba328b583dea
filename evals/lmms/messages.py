"""Documents of lmms-eval's chat messages: texts and images in order."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from common.images import open_image
from models.document import Part, See, Text
from models.image_input import ImageInput


def read_messages(messages: Sequence[Mapping[str, Any]], read_image: Callable[[Any], Any]) -> list[Part]:
    """A conversation as a document, in which the assistant's texts are learned ones.

    A message has a `role` and a `content`: a text, or a list of `{"type": "text", "text": ...}` and `{"type": "image",
    "url": ...}`, of which `read_image` makes what a See holds. Raises ValueError if a piece is of another type.
    """
    parts: list[Part] = []
    for message in messages:
        content, learn = message["content"], message["role"] == "assistant"
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        for piece in content:
            if piece["type"] == "image":
                parts.append(See(read_image(piece["url"])))
            elif piece["type"] == "text":
                _add_text(parts, piece["text"], learn)
            else:
                raise ValueError(f"it shows a {piece['type']}, and this model takes images and texts only")
    return parts


def _add_text(parts: list[Part], text: str, learn: bool) -> None:
    """Adds a text; after another of the same side, as a question after a system prompt, on a new line."""
    if not text.strip():
        return
    last = parts[-1] if parts else None
    if isinstance(last, Text) and last.learn == learn:
        parts[-1] = Text(f"{last.text}\n{text}", learn)
    else:
        parts.append(Text(text, learn))


class ImageReader:
    """Reads images as the model sees them: (3, H, W) uint8, made square by a `fit` of `models.image_input.FITS`.

    Equal images become one tensor, which the language model reads once for all questions about it.
    """

    def __init__(self, image_input: ImageInput, fit: str) -> None:
        self.image_input, self.fit = image_input, fit
        self.known: dict[tuple[torch.Size, bytes], Tensor] = {}

    def __call__(self, source: Image.Image | str | Path) -> Tensor:
        """Reads an image, or a file."""
        if not isinstance(source, Image.Image | str | Path):
            kind = type(source).__name__
            raise ValueError(f"an image is a {kind}, where a picture or a file's name is wanted")
        name = "a picture" if isinstance(source, Image.Image) else str(source)
        pixels = self.image_input(
            open_image(Path(source) if isinstance(source, str) else source, name), self.fit
        )
        return self.known.setdefault((pixels.shape, pixels.numpy().tobytes()), pixels)
