"""Mask2Former (arXiv 2112.01527) as the detector: the family that GenEval's official scorer takes from mmdet."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoImageProcessor,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerModel,
    Mask2FormerPreTrainedModel,
)

from evals.geneval.detection import Detection
from evals.geneval.vocabulary import classes_of
from evals.published_weights import load, load_network, name_of, settings_of

MOST = 100  # pairs of query and class that are looked at in an image, as in mmdet


class Segmenter(Mask2FormerForUniversalSegmentation):
    """Mask2Former for instances, as `transformers` has it but without its loss, which alone would need scipy."""

    _keys_to_ignore_on_load_unexpected = [r"criterion\..*"]

    def __init__(self, config: Mask2FormerConfig) -> None:
        Mask2FormerPreTrainedModel.__init__(self, config)
        self.model = Mask2FormerModel(config)
        self.class_predictor = nn.Linear(config.hidden_dim, config.num_labels + 1)
        self.post_init()

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) -> logits of classes (B, Q, C + 1), the last for none, and of masks (B, Q, h, w)."""
        said = super().forward(pixel_values=pixel_values)
        return said.class_queries_logits, said.masks_queries_logits


class Mask2FormerDetector:
    """Finds objects with their masks; boxes are those of the masks.

    Args:
        source: folder or hub name of a Mask2Former for instances.
        device: where it runs.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: it does not load.
    """

    def __init__(self, source: str, device: str = "cpu") -> None:
        self.network = load_network(Segmenter, source, "--detector", device)
        # the PIL backend, so that figures do not depend on whether torchvision is installed
        self.processor = load(AutoImageProcessor.from_pretrained, source, "--detector", backend="pil")
        self.labels = classes_of(self.network.config.id2label)
        self.classes = frozenset(self.labels.values())
        about = settings_of(self.processor) | {"labels": self.labels, "kind": "mask2former"}
        self.name = name_of(source, self.network, about)

    @torch.no_grad()
    def detect(self, image: Image.Image, least: float) -> list[Detection]:
        """Every object in an RGB image whose score is above `least`."""
        pixels = self.processor(images=image, return_tensors="pt")["pixel_values"]
        classes, masks = self.network(pixels.to(self.network.device))
        scores, labels, whole = instances(classes[0], masks[0], image.size, least)
        found = zip(scores.tolist(), labels.tolist(), whole.cpu().numpy(), strict=True)
        return [
            Detection(self.labels[i], score, box_of(mask), mask) for score, i, mask in found if mask.any()
        ]


def instances(
    classes: Tensor, masks: Tensor, size: tuple[int, int], least: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (K,), labels (K,) and masks (K, H, W) of the instances that score above `least`, as mmdet has them.

    A score is the class's probability times the mean probability of the pixels in the mask. `transformers` has a function
    for this too, which is not used: it cuts masks to 384 x 384 pixels first.

    Args:
        classes: logits (Q, C + 1), the last for none.
        masks: logits (Q, h, w).
        size: width and height of the image.
        least: what a score must exceed.
    """
    chances = classes.softmax(-1)[:, :-1]  # (Q, C)
    best, place = chances.flatten().topk(min(MOST, chances.numel()))
    hopeful = best > least  # a mask can only lower the score
    best, place = best[hopeful], place[hopeful]
    query, label = place // chances.shape[1], place % chances.shape[1]
    logits = F.interpolate(masks[query][None], size[::-1], mode="bilinear", align_corners=False)[0]
    inside = logits > 0  # (K, H, W)
    sure = (logits.sigmoid() * inside).sum((1, 2)) / (inside.sum((1, 2)) + 1e-6)
    scores = best * sure
    keep = scores > least
    return scores[keep], label[keep], inside[keep]


def box_of(mask: np.ndarray) -> tuple[float, float, float, float]:
    """The box around a mask (H, W) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
