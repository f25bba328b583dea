"""The colours of objects by CLIP (arXiv 2103.00020), zero-shot as in GenEval's official scorer."""

from collections.abc import Sequence
from functools import lru_cache

from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from evals.clip import ClipNetwork
from evals.geneval.detection import Detection
from evals.geneval.vocabulary import COLOURS

TEMPLATES = (
    "a photo of a {colour} {name}",
    "a photo of a {colour}-colored {name}",
    "a photo of a {colour} object",
)
BACKGROUND = "#999999"  # of what is outside a mask


class ClipColours:
    """Compares an object's crop with the name of each colour; the official scorer takes ViT-L/14 of OpenAI."""

    def __init__(self, source: str, device: str = "cpu") -> None:
        self.clip = ClipNetwork(source, device, "clip-vit-large-patch14")
        self.name = self.clip.name
        self.colour_features = lru_cache(maxsize=None)(self._colour_features)

    def read_colours(self, image: Image.Image, objects: Sequence[Detection], name: str) -> list[str]:
        """The nearest colour of each of some objects of a class in an RGB image."""
        if not objects:
            return []
        features = self.clip.encode_images([crop(image, one) for one in objects])  # (K, D)
        nearest = (features @ self.colour_features(name).T).argmax(1)
        return [COLOURS[i] for i in nearest.tolist()]

    def _colour_features(self, name: str) -> Tensor:
        """Each colour of a class as a unit vector (10, D): the mean of its wordings, each normalized."""
        texts = [t.format(colour=colour, name=name) for colour in COLOURS for t in TEMPLATES]
        features = self.clip.encode_texts(texts)
        return F.normalize(features.view(len(COLOURS), len(TEMPLATES), -1).mean(1), dim=-1)


def crop(image: Image.Image, one: Detection) -> Image.Image:
    """An object's box, at least a pixel wide and high, grey outside its mask."""
    if one.mask is not None:
        image = Image.composite(image, Image.new("RGB", image.size, BACKGROUND), Image.fromarray(one.mask))
    left, top, right, bottom = (round(edge) for edge in one.box)
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    return image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
