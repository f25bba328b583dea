"""CLIP (arXiv 2103.00020): pictures and words as directions of one space."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, CLIPModel

from evals.pinned_weights import check_pin, split_pin
from evals.published_weights import load, load_network, name_of, settings_of


class ClipNetwork:
    """Pictures and words to directions.

    Args:
        source: folder or hub name, perhaps with the hash that its weights must have (`NAME@HASH`).
        device: where it runs.
        best: which one is published with the measure, for the line that refuses another kind.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: it does not load, is no CLIP, or has other weights.
    """

    def __init__(self, source: str, device: str, best: str) -> None:
        source, pin = split_pin(source, "--clip")
        kind = load(AutoConfig.from_pretrained, source, "--clip").model_type
        if kind != "clip":
            raise ValueError(f"--clip {source} is a {kind}: give a CLIP, best {best} of openai")
        self.network = load_network(CLIPModel, source, "--clip", device)
        self.processor = load(AutoImageProcessor.from_pretrained, source, "--clip", backend="pil")
        self.tokenizer = load(AutoTokenizer.from_pretrained, source, "--clip")
        self.name = name_of(source, self.network, settings_of(self.processor))
        check_pin(self.name, pin, "--clip")

    @torch.no_grad()
    def see(self, images: Sequence[Image.Image]) -> Tensor:
        """RGB images as directions (K, D) of length 1."""
        pixels = self.processor(images=list(images), return_tensors="pt")["pixel_values"]
        seen = self.network.get_image_features(pixel_values=pixels.to(self.network.device))
        return F.normalize(seen.pooler_output, dim=-1)

    @torch.no_grad()
    def read(self, words: Sequence[str]) -> Tensor:
        """Texts as directions (K, D) of length 1; what is longer than CLIP reads is cut off."""
        most = self.network.config.text_config.max_position_embeddings
        limits = {"padding": True, "truncation": True, "max_length": most}
        tokens = self.tokenizer(list(words), return_tensors="pt", **limits).to(self.network.device)
        told = self.network.get_text_features(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        )
        return F.normalize(told.pooler_output, dim=-1)
