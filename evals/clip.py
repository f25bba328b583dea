"""CLIP (arXiv 2103.00020): images and texts as directions of one space."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel

from evals.published_weights import WeightSource, processor_settings


class ClipNetwork:
    """Encodes images and texts; `recommended` is the CLIP of the published scores, for the error about another kind."""

    def __init__(self, source: str, device: str, recommended: str) -> None:
        weights = WeightSource.parse(source, "--clip")
        kind = weights.load_config().model_type
        if kind != "clip":
            raise ValueError(f"{weights} is a {kind}: give a CLIP, best {recommended} of openai")
        self.network = weights.load_network(CLIPModel, device)
        self.processor = weights.load_image_processor()
        self.tokenizer = weights.load_tokenizer()
        self.name = weights.identify(self.network, processor_settings(self.processor))

    @torch.no_grad()
    def encode_images(self, images: Sequence[Image.Image]) -> Tensor:
        """RGB images -> unit vectors (K, D)."""
        pixels = self.processor(images=list(images), return_tensors="pt")["pixel_values"]
        features = self.network.get_image_features(pixel_values=pixels.to(self.network.device))
        return F.normalize(features.pooler_output, dim=-1)

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Texts -> unit vectors (K, D); a text is cut off at CLIP's context length."""
        length = self.network.config.text_config.max_position_embeddings
        limits = {"padding": True, "truncation": True, "max_length": length}
        tokens = self.tokenizer(list(texts), return_tensors="pt", **limits).to(self.network.device)
        features = self.network.get_text_features(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        )
        return F.normalize(features.pooler_output, dim=-1)
