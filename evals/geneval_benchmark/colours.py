"""The colours of objects by CLIP (arXiv 2103.00020), told zero-shot as in GenEval's official scorer."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, CLIPModel

from evals.geneval_benchmark.detection import Detection
from evals.geneval_benchmark.vocabulary import COLOURS
from evals.geneval_benchmark.weights import load, load_network, name_of, settings_of

TEMPLATES = (
    "a photo of a {colour} {name}",
    "a photo of a {colour}-colored {name}",
    "a photo of a {colour} object",
)
GROUND = "#999999"  # what everything outside a mask is painted


class ClipColours:
    """Compares an object's crop with each colour in words.

    Args:
        source: folder or hub name; the official scorer takes ViT-L/14 of OpenAI.
        device: where it runs.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: it does not load, or is no CLIP.
    """

    def __init__(self, source: str, device: str = "cpu") -> None:
        kind = load(AutoConfig.from_pretrained, source, "--clip").model_type
        if kind != "clip":
            raise ValueError(
                f"--clip {source} is a {kind}: give a CLIP, best clip-vit-large-patch14 of openai"
            )
        self.network = load_network(CLIPModel, source, "--clip", device)
        self.processor = load(AutoImageProcessor.from_pretrained, source, "--clip", backend="pil")
        self.tokenizer = load(AutoTokenizer.from_pretrained, source, "--clip")
        self.name = name_of(source, self.network, settings_of(self.processor))
        self.colour_features = lru_cache(maxsize=None)(self._colour_features)

    @torch.no_grad()
    def read(self, image: Image.Image, objects: Sequence[Detection], name: str) -> list[str]:
        """The nearest colour of each of some objects of a class in an RGB image."""
        if not objects:
            return []
        crops = [crop(image, one) for one in objects]
        pixels = self.processor(images=crops, return_tensors="pt")["pixel_values"].to(self.network.device)
        seen = F.normalize(
            self.network.get_image_features(pixel_values=pixels).pooler_output, dim=-1
        )  # (K, D)
        nearest = (seen @ self.colour_features(name).T).argmax(1)
        return [COLOURS[i] for i in nearest.tolist()]

    def _colour_features(self, name: str) -> Tensor:
        """Each colour of a class as a direction (10, D): the mean of its wordings, each normalized."""
        words = [t.format(colour=colour, name=name) for colour in COLOURS for t in TEMPLATES]
        tokens = self.tokenizer(words, padding=True, truncation=True, return_tensors="pt").to(
            self.network.device
        )
        told = self.network.get_text_features(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).pooler_output
        told = F.normalize(told, dim=-1).view(len(COLOURS), len(TEMPLATES), -1)
        return F.normalize(told.mean(1), dim=-1)


def crop(image: Image.Image, one: Detection) -> Image.Image:
    """An object's box, at least a pixel wide and high, with what its mask leaves out painted grey."""
    if one.mask is not None:
        image = Image.composite(image, Image.new("RGB", image.size, GROUND), Image.fromarray(one.mask))
    left, top, right, bottom = (round(edge) for edge in one.box)
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    return image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
