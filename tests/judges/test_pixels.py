"""Images between numpy, torch and PIL."""

import numpy as np
from PIL import Image

from judges.pixels import image_to_tensor, render_scenes, to_numpy
from tests.judges.scenes import scenes
from worlds.playground.render import render


def test_scenes_are_rendered_channels_first_and_read_back_channels_last():
    made = scenes(3)
    images = render_scenes(made)
    assert images.shape == (3, 3, 48, 48) and images.is_contiguous()
    assert np.array_equal(to_numpy(images), np.stack([render(scene) for scene in made]))
    assert image_to_tensor(Image.fromarray(to_numpy(images)[0])).equal(images[0])
