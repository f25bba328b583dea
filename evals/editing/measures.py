"""What is measured of an edited image: DINO, CLIP-I, CLIP-T, CLIP-DIR and L1, one image at a time."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch.nn import functional as F

from common.images import open_image
from evals.clip import ClipNetwork
from evals.editing.dino import Dino
from evals.editing.edits import Comparison
from evals.score_cache import Numbers

RANGES = {"dino": (-1, 1), "clip_i": (-1, 1), "clip_t": (-1, 1), "clip_dir": (-1, 1), "l1": (0, 1)}


@dataclass(frozen=True)
class Measures:
    """The networks that the measures take."""

    clip: ClipNetwork
    dino: Dino

    def of(self, image: Image.Image, one: Comparison) -> Numbers:
        """A result's measures.

        The result is brought to the size of what it is held against first, for each network cuts its own middle out of
        what it is given: of a square result and a source of 4:3 they would look at two different views. So a source that
        is given back scores 1.

        CLIP-DIR (arXiv 2211.09800) is None where the two captions are alike, as there is no direction from one to the
        other. It is 0 for an image that is as it was before.
        """
        before = open_image(one.before(), f"the image before {one.name}")
        reference = open_image(one.reference(), f"the image that {one.name} is held against")
        at_source, at_reference = to_size(image, before), to_size(image, reference)
        views = [at_source, before, at_reference, reference]
        seen, was, own_clip, like = self.clip.see(views)  # (D,) each
        told, told_before = self.clip.read([one.words_after, one.words_before])
        direction = None
        if one.words_after != one.words_before:
            direction = float(F.cosine_similarity(seen - was, told - told_before, dim=0))
        own, wanted = self.dino.see([at_reference, reference])
        return {
            "dino": float(own @ wanted),
            "clip_i": float(own_clip @ like),
            "clip_t": float(seen @ told),
            "clip_dir": direction,
            "l1": difference(at_reference, reference),
        }


def to_size(image: Image.Image, other: Image.Image) -> Image.Image:
    """An image at the size of another (bicubic); one of that size as it is."""
    return image if image.size == other.size else image.resize(other.size, Image.Resampling.BICUBIC)


def difference(image: Image.Image, reference: Image.Image) -> float:
    """The mean absolute difference of pixels from 0 to 1; the image is resized to the reference."""
    own, wanted = (np.asarray(one, dtype=np.float64) / 255 for one in (to_size(image, reference), reference))
    return float(np.abs(own - wanted).mean())
