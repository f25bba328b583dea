"""Another view of an image."""

import numpy as np
import torch

from models.tokenizer.augmentation import augment_view
from worlds.playground.judge import read, same_scene
from worlds.playground.render import render
from worlds.playground.sampler import sample_scene


def test_a_view_changes_light_and_grain_only():
    torch.manual_seed(0)
    scene = sample_scene(np.random.default_rng(0), "color_attr")
    image = torch.from_numpy(render(scene)).permute(2, 0, 1)
    views = augment_view(image.expand(20, 3, 48, 48))
    assert views.shape == (20, 3, 48, 48) and views.dtype == torch.uint8
    assert len({view.numpy().tobytes() for view in views}) == 20
    assert (views.float() - image).abs().mean() > 3
    read_back = read(views.permute(0, 2, 3, 1).numpy())
    assert np.mean([same_scene(reading, scene) for reading in read_back]) > 0.8
