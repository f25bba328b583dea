"""What is measured of an edited image: DINO, CLIP-I, CLIP-T, CLIP-DIR and L1, one image at a time."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch.nn import functional as F

from evals.clip_network import ClipNetwork
from evals.editing_benchmark.dino import Dino
from evals.editing_benchmark.edits import Comparison
from evals.image_files import open_image
from evals.kept_scores import Numbers

RANGES = {"dino": (-1, 1), "clip_i": (-1, 1), "clip_t": (-1, 1), "clip_dir": (-1, 1), "l1": (0, 1)}


@dataclass(frozen=True)
class Measures:
    """The networks that the measures take."""

    clip: ClipNetwork
    dino: Dino

    def of(self, image: Image.Image, one: Comparison) -> Numbers:
        """A result's measures.

        CLIP-DIR (arXiv 2211.09800) is None where the two captions are alike, as there is no direction from one to the
        other. It is 0 for an image that is as it was before.
        """
        before = open_image(one.before(), f"the image before {one.name}")
        reference = open_image(one.reference(), f"the image that {one.name} is held against")
        seen, was, like = self.clip.see([image, before, reference])  # (D,) each
        told, told_before = self.clip.read([one.words_after, one.words_before])
        direction = None
        if one.words_after != one.words_before:
            direction = float(F.cosine_similarity(seen - was, told - told_before, dim=0))
        own, wanted = self.dino.see([image, reference])
        return {
            "dino": float(own @ wanted),
            "clip_i": float(seen @ like),
            "clip_t": float(seen @ told),
            "clip_dir": direction,
            "l1": difference(image, reference),
        }


def difference(image: Image.Image, reference: Image.Image) -> float:
    """The mean absolute difference of pixels from 0 to 1; the image is resized to the reference (bicubic)."""
    resized = image.resize(reference.size)
    own, wanted = (np.asarray(one, dtype=np.float64) / 255 for one in (resized, reference))
    return float(np.abs(own - wanted).mean())
