"""Chat messages as lmms-eval writes them, to documents: words and images in their order."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from common.images import open_image
from models.document import Part, See, Text
from models.image_input import ImageInput


def read_messages(messages: Sequence[Mapping[str, Any]], look: Callable[[Any], Any]) -> list[Part]:
    """A conversation as a document; what the assistant has said in it stands as the assistant's turn.

    Args:
        messages: of `role` and `content`, which is words or a list of `{"type": "text", "text": ...}` and
            `{"type": "image", "url": ...}`.
        look: what stands at an image's `url` to what a See holds.

    Raises ValueError if there is something in it that is neither words nor an image.
    """
    parts: list[Part] = []
    for message in messages:
        content, learn = message["content"], message["role"] == "assistant"
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        for piece in content:
            if piece["type"] == "image":
                parts.append(See(look(piece["url"])))
            elif piece["type"] == "text":
                _add_text(parts, piece["text"], learn)
            else:
                raise ValueError(f"it shows a {piece['type']}, and this model takes images and words only")
    return parts


def _add_text(parts: list[Part], text: str, learn: bool) -> None:
    """Adds words; those that follow others of the same side, as a question does a system's, begin a new line."""
    if not text.strip():
        return
    last = parts[-1] if parts else None
    if isinstance(last, Text) and last.learn == learn:
        parts[-1] = Text(f"{last.text}\n{text}", learn)
    else:
        parts.append(Text(text, learn))


class Eye:
    """Pictures to what the model sees: (3, H, W) uint8. Pictures that look the same become one tensor.

    The language model reads an image once for all questions about the same tensor.

    Args:
        takes: how the model takes pictures.
        fit: how a picture that is no square becomes one where the model sees squares, one of `models.image_input.FITS`:
            with white around it, or its middle.
    """

    def __init__(self, takes: ImageInput, fit: str) -> None:
        self.takes, self.fit = takes, fit
        self.seen: dict[tuple[torch.Size, bytes], Tensor] = {}

    def __call__(self, source: Image.Image | str | Path) -> Tensor:
        """Looks at a picture, or at a file."""
        if not isinstance(source, Image.Image | str | Path):
            kind = type(source).__name__
            raise ValueError(f"an image is a {kind}, where a picture or a file's name is wanted")
        name = "a picture" if isinstance(source, Image.Image) else str(source)
        pixels = self.takes(open_image(Path(source) if isinstance(source, str) else source, name), self.fit)
        return self.seen.setdefault((pixels.shape, pixels.numpy().tobytes()), pixels)
