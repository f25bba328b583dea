"""Detectors that are told in words what to look for: OWLv2 (arXiv 2306.09683) and Grounding DINO (arXiv 2303.05499).

Both are asked for the whole vocabulary at once, and what they find takes its likeliest class, so that they choose among
the same classes as Mask2Former does. Asked for one class alone they would find it in whatever resembles it most.
"""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    GroundingDinoForObjectDetection,
    Owlv2ForObjectDetection,
)

from evals.geneval.detection import Detection
from evals.published_weights import load, load_network, name_of, settings_of
from judges.pixels import image_to_tensor


class Owlv2Detector:
    """Finds objects by "a photo of a ...".

    Args:
        source: folder or hub name.
        classes: what to look for.
        device: where it runs.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: it does not load.
    """

    def __init__(self, source: str, classes: Sequence[str], device: str = "cpu") -> None:
        self.network = load_network(Owlv2ForObjectDetection, source, "--detector", device)
        processor = load(AutoImageProcessor.from_pretrained, source, "--detector", backend="pil")
        tokenizer = load(AutoTokenizer.from_pretrained, source, "--detector")
        self.words, self.classes = tuple(classes), frozenset(classes)
        self.side = processor.size["height"]
        self.mean, self.std = (
            torch.tensor(v)[:, None, None] for v in (processor.image_mean, processor.image_std)
        )
        text = tokenizer(
            [f"a photo of a {word}" for word in self.words],
            padding="max_length",
            truncation=True,
            max_length=self.network.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        self.text = {key: text[key].to(device) for key in ("input_ids", "attention_mask")}
        about = settings_of(processor) | {"words": self.words, "kind": "owlv2"}
        self.name = name_of(source, self.network, about)

    @torch.no_grad()
    def detect(self, image: Image.Image, least: float) -> list[Detection]:
        """Every object in an RGB image whose score is above `least`."""
        said = self.network(pixel_values=self.pixels(image).to(self.network.device), **self.text)
        scores, labels = said.logits[0].sigmoid().max(-1)  # (N,)
        side = max(image.size)  # boxes are shares of the padded square
        return _detections(self.words, scores, labels, said.pred_boxes[0], (side, side), image.size, least)

    def pixels(self, image: Image.Image) -> Tensor:
        """The image (1, 3, S, S): padded below or to the right to a square, resized, normalized.

        By hand, for the processor's own resizing needs scipy or torchvision.
        """
        values = image_to_tensor(image)[None] / 255  # (1, 3, H, W)
        height, width = values.shape[2:]
        side = max(height, width)
        square = F.pad(values, (0, side - width, 0, side - height))
        resized = F.interpolate(square, (self.side, self.side), mode="bilinear", antialias=True)
        return (resized - self.mean) / self.std


class GroundingDinoDetector:
    """Finds objects by a sentence of all classes, "person. bicycle. ...".

    A class's score is the mean probability of its tokens, as Grounding DINO itself is measured on COCO.

    Args:
        source: folder or hub name.
        classes: what to look for.
        device: where it runs.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: it does not load, or the classes are too many words for it.
    """

    def __init__(self, source: str, classes: Sequence[str], device: str = "cpu") -> None:
        self.network = load_network(GroundingDinoForObjectDetection, source, "--detector", device)
        self.processor = load(AutoImageProcessor.from_pretrained, source, "--detector", backend="pil")
        tokenizer = load(AutoTokenizer.from_pretrained, source, "--detector")
        self.words, self.classes = tuple(classes), frozenset(classes)
        told = tokenizer("".join(f"{w}. " for w in self.words).strip(), return_offsets_mapping=True)
        most = self.network.config.max_text_len
        if len(told["input_ids"]) > most:
            raise ValueError(
                f"--detector {source} reads {most} tokens, the {len(self.words)} classes are {len(told['input_ids'])}"
            )
        self.text = {key: torch.tensor([told[key]], device=device) for key in ("input_ids", "attention_mask")}
        self.share = token_shares(self.words, told["offset_mapping"], most).to(device)  # (C, T)
        about = settings_of(self.processor) | {"words": self.words, "kind": "grounding-dino"}
        self.name = name_of(source, self.network, about)

    @torch.no_grad()
    def detect(self, image: Image.Image, least: float) -> list[Detection]:
        """Every object in an RGB image whose score is above `least`."""
        pixels = self.processor(images=image, return_tensors="pt").to(self.network.device)
        said = self.network(pixel_values=pixels["pixel_values"], pixel_mask=pixels["pixel_mask"], **self.text)
        scores, labels = (said.logits[0].sigmoid() @ self.share.T).max(-1)  # (Q,)
        return _detections(self.words, scores, labels, said.pred_boxes[0], image.size, image.size, least)


def token_shares(words: Sequence[str], spans: Sequence[tuple[int, int]], length: int) -> Tensor:
    """What each of `length` tokens counts for each class (C, T) in "person. bicycle. ...": rows sum to 1.

    Args:
        words: the classes in order.
        spans: first and last letter of each token; special tokens have none.
        length: tokens that the network has logits for.
    """
    share, start = torch.zeros(len(words), length), 0
    for row, word in zip(share, words, strict=True):
        row[[i for i, (a, b) in enumerate(spans) if a < b and start <= a and b <= start + len(word)]] = 1
        start += len(word) + 2  # a full stop and a space
    return share / share.sum(1, keepdim=True).clamp_min(1)


def _detections(
    words: Sequence[str],
    scores: Tensor,
    labels: Tensor,
    boxes: Tensor,
    scale: tuple[int, int],
    size: tuple[int, int],
    least: float,
) -> list[Detection]:
    """Those above `least`; boxes (N, 4) are centre and size as shares of `scale`, and are cut at the image's border."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    corners = torch.cat([centre - half, centre + half], 1) * torch.tensor(
        [*scale, *scale], device=boxes.device
    )
    corners = corners.clamp(min=0).minimum(torch.tensor([*size, *size], device=boxes.device))
    found = zip(scores.tolist(), labels.tolist(), corners.tolist(), strict=True)
    return [Detection(words[i], score, tuple(box)) for score, i, box in found if score > least]
