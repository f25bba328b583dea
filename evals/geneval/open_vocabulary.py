"""Open-vocabulary detectors: OWLv2 (arXiv 2306.09683) and Grounding DINO (arXiv 2303.05499).

Both are prompted with the whole vocabulary at once, and a detection takes its likeliest class, so that they choose among
the same classes as Mask2Former does. Prompted with one class alone they would find it in whatever resembles it most.
"""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import GroundingDinoForObjectDetection, Owlv2ForObjectDetection

from evals.geneval.detection import Detection
from evals.published_weights import WeightSource, processor_settings
from judges.pixels import image_to_tensor


class PromptedDetector:
    """A detector that is prompted with the names of classes."""

    def __init__(self, kind: Any, source: str, classes: Sequence[str], device: str) -> None:
        self.weights = WeightSource.parse(source, "--detector")
        self.network = self.weights.load_network(kind, device)
        self.processor, self.tokenizer = self.weights.load_image_processor(), self.weights.load_tokenizer()
        self.names, self.classes = tuple(classes), frozenset(classes)
        about = {"words": self.names, "kind": self.network.config.model_type}
        self.name = self.weights.identify(self.network, processor_settings(self.processor) | about)


class Owlv2Detector(PromptedDetector):
    """Finds objects by "a photo of a ..." for each class."""

    def __init__(self, source: str, classes: Sequence[str], device: str = "cpu") -> None:
        super().__init__(Owlv2ForObjectDetection, source, classes, device)
        self.side = self.processor.size["height"]
        self.mean, self.std = (
            torch.tensor(v)[:, None, None] for v in (self.processor.image_mean, self.processor.image_std)
        )
        text = self.tokenizer(
            [f"a photo of a {name}" for name in self.names],
            padding="max_length",
            truncation=True,
            max_length=self.network.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        self.text = {key: text[key].to(device) for key in ("input_ids", "attention_mask")}

    @torch.no_grad()
    def detect(self, image: Image.Image, threshold: float) -> list[Detection]:
        """Every object in an RGB image whose score is above a threshold."""
        outputs = self.network(pixel_values=self.preprocess(image).to(self.network.device), **self.text)
        scores, labels = outputs.logits[0].sigmoid().max(-1)  # (N,)
        side = max(image.size)  # boxes are shares of the padded square
        boxes = outputs.pred_boxes[0]
        return _detections(self.names, scores, labels, boxes, (side, side), image.size, threshold)

    def preprocess(self, image: Image.Image) -> Tensor:
        """The image (1, 3, S, S): padded below or to the right to a square, resized, normalized.

        By hand, for the processor's own resizing needs scipy or torchvision.
        """
        values = image_to_tensor(image)[None] / 255  # (1, 3, H, W)
        height, width = values.shape[2:]
        side = max(height, width)
        square = F.pad(values, (0, side - width, 0, side - height))
        resized = F.interpolate(square, (self.side, self.side), mode="bilinear", antialias=True)
        return (resized - self.mean) / self.std


class GroundingDinoDetector(PromptedDetector):
    """Finds objects by a sentence of all classes, "person. bicycle. ...".

    A class's score is the mean probability of its tokens, as Grounding DINO itself is measured on COCO.

    Raises ValueError if the classes have more tokens than the network reads.
    """

    def __init__(self, source: str, classes: Sequence[str], device: str = "cpu") -> None:
        super().__init__(GroundingDinoForObjectDetection, source, classes, device)
        tokens = self.tokenizer("".join(f"{n}. " for n in self.names).strip(), return_offsets_mapping=True)
        count, length = len(tokens["input_ids"]), self.network.config.max_text_len
        if count > length:
            raise ValueError(
                f"{self.weights} reads {length} tokens, the {len(self.names)} classes are {count}"
            )
        self.text = {
            key: torch.tensor([tokens[key]], device=device) for key in ("input_ids", "attention_mask")
        }
        self.share = token_shares(self.names, tokens["offset_mapping"], length).to(device)  # (C, T)

    @torch.no_grad()
    def detect(self, image: Image.Image, threshold: float) -> list[Detection]:
        """Every object in an RGB image whose score is above a threshold."""
        pixels = self.processor(images=image, return_tensors="pt").to(self.network.device)
        outputs = self.network(
            pixel_values=pixels["pixel_values"], pixel_mask=pixels["pixel_mask"], **self.text
        )
        scores, labels = (outputs.logits[0].sigmoid() @ self.share.T).max(-1)  # (Q,)
        boxes = outputs.pred_boxes[0]
        return _detections(self.names, scores, labels, boxes, image.size, image.size, threshold)


def token_shares(names: Sequence[str], spans: Sequence[tuple[int, int]], length: int) -> Tensor:
    """The weight of each of `length` tokens for each class (C, T) in "person. bicycle. ...": rows sum to 1.

    Args:
        names: of the classes in order.
        spans: first and last letter of each token; special tokens have none.
        length: tokens that the network has logits for.
    """
    share, start = torch.zeros(len(names), length), 0
    for row, name in zip(share, names, strict=True):
        row[[i for i, (a, b) in enumerate(spans) if a < b and start <= a and b <= start + len(name)]] = 1
        start += len(name) + 2  # a full stop and a space
    return share / share.sum(1, keepdim=True).clamp_min(1)


def _detections(
    names: Sequence[str],
    scores: Tensor,
    labels: Tensor,
    boxes: Tensor,
    scale: tuple[int, int],
    size: tuple[int, int],
    threshold: float,
) -> list[Detection]:
    """Those above a threshold; boxes (N, 4) are centre and size as shares of `scale`, cut at the image's border."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    corners = torch.cat([centre - half, centre + half], 1) * torch.tensor(
        [*scale, *scale], device=boxes.device
    )
    corners = corners.clamp(min=0).minimum(torch.tensor([*size, *size], device=boxes.device))
    found = zip(scores.tolist(), labels.tolist(), corners.tolist(), strict=True)
    return [Detection(names[i], score, tuple(box)) for score, i, box in found if score > threshold]
