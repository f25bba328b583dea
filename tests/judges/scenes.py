"""Scenes of all categories."""

import numpy as np

from worlds.playground.sampler import sample_scene
from worlds.playground.scene import CATEGORIES


def scenes(count, seed=0):
    rng = np.random.default_rng(seed)
    return [sample_scene(rng, (*CATEGORIES, "mixed")[i % 7]) for i in range(count)]
