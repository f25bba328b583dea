"""Whole images of every format."""

from benchmarks.image_seeds import seeds
from common.images import FORMATS, open_image


def test_whole_images_of_every_format_open():
    names = [name for name, data in seeds() if open_image(data).mode == "RGB"]
    known = {name.split()[0] for name in names}
    assert set(FORMATS) <= known | {"MPO"} and len(names) > 400
