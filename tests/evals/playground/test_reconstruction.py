"""Scores of reconstructions."""

import pytest

from evals.playground.reconstruction import exact_match, reconstruct, reconstruction_scores
from judges.pixels import render_scenes
from models.unified import Illume
from tests.evals.playground.scenes import sample_scenes
from worlds.playground.scene import Scene


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return sample_scenes()


def test_real_images_match_exactly_and_those_of_a_random_model_do_not(
    tiny_illume: Illume, scenes: list[Scene]
) -> None:
    images = render_scenes(scenes)
    assert exact_match(images, scenes) == 1.0
    assert exact_match(images.roll(1, 0), scenes) < 0.05
    rebuilt = reconstruct(tiny_illume, 12)
    scores = reconstruction_scores(tiny_illume, rebuilt)
    assert scores["reconstruction/judge_on_truth"] == 1.0
    assert scores["reconstruction/exact"] < 0.5  # the model is random
    assert {"stem_alone/exact", "stem_alone/fd_encoder", "stem_alone/sharpness_fine"} <= scores.keys()
