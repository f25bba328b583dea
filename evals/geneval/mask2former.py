"""Mask2Former (arXiv 2112.01527) as the detector: the family that GenEval's official scorer takes from mmdet."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerModel,
    Mask2FormerPreTrainedModel,
)

from evals.geneval.detection import Detection
from evals.geneval.vocabulary import classes_of
from evals.published_weights import WeightSource, processor_settings

MAX_CANDIDATES = 100  # pairs of query and class that are looked at in an image, as in mmdet


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
        outputs = super().forward(pixel_values=pixel_values)
        return outputs.class_queries_logits, outputs.masks_queries_logits


class Mask2FormerDetector:
    """Finds objects with their masks, by a Mask2Former for instances; boxes are those of the masks."""

    def __init__(self, source: str, device: str = "cpu") -> None:
        weights = WeightSource.parse(source, "--detector")
        self.network = weights.load_network(Segmenter, device)
        self.processor = weights.load_image_processor()
        self.labels = classes_of(self.network.config.id2label)
        self.classes = frozenset(self.labels.values())
        about = processor_settings(self.processor) | {"labels": self.labels, "kind": "mask2former"}
        self.name = weights.identify(self.network, about)

    @torch.no_grad()
    def detect(self, image: Image.Image, threshold: float) -> list[Detection]:
        """Every object in an RGB image whose score is above `threshold`."""
        pixels = self.processor(images=image, return_tensors="pt")["pixel_values"]
        classes, masks = self.network(pixels.to(self.network.device))
        scores, labels, inside = instances(classes[0], masks[0], image.size, threshold)
        found = zip(scores.tolist(), labels.tolist(), inside.cpu().numpy(), strict=True)
        return [
            Detection(self.labels[i], score, box_of(mask), mask) for score, i, mask in found if mask.any()
        ]


def instances(
    classes: Tensor, masks: Tensor, size: tuple[int, int], threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (K,), labels (K,) and masks (K, H, W) of the instances that score above `threshold`, as mmdet has them.

    A score is the class's probability times the mean probability of the pixels in the mask. `transformers` has a function
    for this too, which is not used: it resizes masks to 384 x 384 pixels first. Takes logits of classes (Q, C + 1), the
    last for none, and of masks (Q, h, w), and the width and height of the image.
    """
    probabilities = classes.softmax(-1)[:, :-1]  # (Q, C)
    best, index = probabilities.flatten().topk(min(MAX_CANDIDATES, probabilities.numel()))
    likely = best > threshold  # a mask can only lower the score
    best, index = best[likely], index[likely]
    query, label = index // probabilities.shape[1], index % probabilities.shape[1]
    logits = F.interpolate(masks[query][None], size[::-1], mode="bilinear", align_corners=False)[0]
    inside = logits > 0  # (K, H, W)
    mask_scores = (logits.sigmoid() * inside).sum((1, 2)) / (inside.sum((1, 2)) + 1e-6)
    scores = best * mask_scores
    keep = scores > threshold
    return scores[keep], label[keep], inside[keep]


def box_of(mask: np.ndarray) -> tuple[float, float, float, float]:
    """The box around a mask (H, W) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
