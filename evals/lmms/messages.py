"""Chat messages as lmms-eval writes them, to documents: words and images in their order."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from torch import Tensor

from evals.pixels import tensor_of
from models.document import Part, See, Text
from common.images import centre_square, rgb, whole_square

FITS = {"pad": whole_square, "crop": centre_square}


def read_messages(messages: Sequence[Mapping[str, Any]], look: Callable[[Any], Any]) -> list[Part]:
    """A conversation as a document; what the assistant has said in it stands as the assistant's turn.

    Args:
        messages: of `role` and `content`, which is words or a list of `{"type": "text", "text": ...}` and
            `{"type": "image", "url": ...}`.
        look: what stands at an image's `url` to what a See holds.

    Raises:
        ValueError: there is something in it that is neither words nor an image.
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
    """Pictures to what the model sees: (3, side, side) uint8. Pictures that look the same become one tensor.

    The language model reads an image once for all questions about the same tensor.

    Args:
        side: of the encoder's images.
        fit: how a picture that is no square becomes one, one of FITS: with white around it, or its middle.
    """

    def __init__(self, side: int, fit: str) -> None:
        self.side, self.fit = side, FITS[fit]
        self.seen: dict[bytes, Tensor] = {}

    def __call__(self, source: Image.Image | str | Path) -> Tensor:
        """Looks at a picture, or at a file.

        Raises:
            ValueError: there is no picture, or it cannot be read.
        """
        square = self.fit(rgb(ImageOps.exif_transpose(_opened(source))), self.side)
        return self.seen.setdefault(square.tobytes(), tensor_of(square).contiguous())


def _opened(source: Image.Image | str | Path) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    if not isinstance(source, str | Path):
        raise ValueError(f"an image is a {type(source).__name__}, where a picture or a file's name is wanted")
    try:
        with Image.open(source) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{source} is no image that can be read ({' '.join(str(error).split())})") from error
