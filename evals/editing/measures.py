"""The measures of an edited image: DINO, CLIP-I, CLIP-T, CLIP-DIR and L1."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch.nn import functional as F

from common.images import open_image
from evals.clip import ClipNetwork
from evals.editing.dino import Dino
from evals.editing.edits import Comparison
from evals.score_cache import Scores

RANGES = {"dino": (-1, 1), "clip_i": (-1, 1), "clip_t": (-1, 1), "clip_dir": (-1, 1), "l1": (0, 1)}


@dataclass(frozen=True)
class Measures:
    """The networks that the measures take."""

    clip: ClipNetwork
    dino: Dino

    def measure(self, image: Image.Image, one: Comparison) -> Scores:
        """The measures of a result.

        The result is first resized to what it is compared with, for each network crops the centre of what it is given: of
        a square result and a source of 4:3 it would see two different views. So an unchanged source scores 1.

        CLIP-DIR (arXiv 2211.09800) is None where the two captions are equal, as there is no direction from one to the
        other. It is 0 for an unchanged image.
        """
        before = open_image(one.before(), f"the image before {one.name}")
        reference = open_image(one.reference(), f"the image that {one.name} is compared with")
        at_source, at_reference = resize_like(image, before), resize_like(image, reference)
        views = [at_source, before, at_reference, reference]
        after, was, own_clip, like = self.clip.encode_images(views)  # (D,) each
        text, text_before = self.clip.encode_texts([one.caption_after, one.caption_before])
        direction = None
        if one.caption_after != one.caption_before:
            direction = float(F.cosine_similarity(after - was, text - text_before, dim=0))
        own, target = self.dino.encode_images([at_reference, reference])
        return {
            "dino": float(own @ target),
            "clip_i": float(own_clip @ like),
            "clip_t": float(after @ text),
            "clip_dir": direction,
            "l1": difference(at_reference, reference),
        }


def resize_like(image: Image.Image, other: Image.Image) -> Image.Image:
    """An image at the size of another (bicubic)."""
    return image if image.size == other.size else image.resize(other.size, Image.Resampling.BICUBIC)


def difference(image: Image.Image, reference: Image.Image) -> float:
    """The mean absolute difference of pixels from 0 to 1; the image is resized to the reference."""
    images = (resize_like(image, reference), reference)
    own, target = (np.asarray(one, dtype=np.float64) / 255 for one in images)
    return float(np.abs(own - target).mean())
