"""The judge reads what was drawn, through mild damage too, and says no to everything else."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from tests.worlds.playground.rendered_scenes import KINDS, blurred, images, noisy, scenes, share_right
from worlds.playground.judge import UNKNOWN, read, same_scene, satisfies
from worlds.playground.prompts import PromptSpec, spec_of
from worlds.playground.render import render
from worlds.playground.scene import COLOURS, SHAPES, Scene, SceneObject

__all__ = ["scenes", "images"]

RED_CIRCLE = SceneObject("circle", "red", 8.0, 24.0, 6.5)
BLUE_STAR = SceneObject("star", "blue", 40.0, 24.0, 6.5)


@pytest.fixture(scope="module")
def specs(scenes: list[Scene]) -> list[PromptSpec]:
    return [spec_of(scene, KINDS[i % len(KINDS)], colours=True) for i, scene in enumerate(scenes)]


def compressed(images: np.ndarray, quality: int) -> np.ndarray:
    files = [io.BytesIO() for _ in images]
    for image, file in zip(images, files, strict=True):
        Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.stack([np.asarray(Image.open(file)) for file in files])


def drawn(*objects: SceneObject) -> np.ndarray:
    return render(Scene(objects, texture_seed=1))[None]


def changed(spec: PromptSpec, rng: np.random.Generator) -> PromptSpec:
    """The prompt with the colour, shape or number of one of its objects changed."""
    which = int(rng.integers(len(spec.objects)))
    count, colour, shape = spec.objects[which]
    other = [
        (count % 4 + 1, colour, shape),
        (count, str(rng.choice([c for c in COLOURS if c != colour])), shape),
        (count, colour, str(rng.choice([s for s in SHAPES if s != shape]))),
    ][int(rng.integers(3))]
    objects = (*spec.objects[:which], other, *spec.objects[which + 1 :])
    return PromptSpec(spec.category, objects, spec.relation)


def test_fresh_renders_are_read_exactly(images: np.ndarray, scenes: list[Scene]) -> None:
    assert share_right(images, scenes, tolerance=1.0) > 0.99


@pytest.mark.parametrize(
    ("damage", "amount"),
    [(blurred, 0.6), (blurred, 0.8), (noisy, 8), (noisy, 10), (compressed, 75)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_mild_damage_is_forgiven(damage, amount: float, images: np.ndarray, scenes: list[Scene]) -> None:
    assert share_right(damage(images, amount), scenes, tolerance=2.0) > 0.95


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("colour", COLOURS)
def test_every_shape_in_every_colour(shape: str, colour: str) -> None:
    items = [SceneObject(shape, colour, 23.3, 24.6, radius) for radius in (6.0, 7.0)]
    scenes = [Scene((item,), seed) for item in items for seed in range(4)]
    assert share_right(np.stack([render(scene) for scene in scenes]), scenes, tolerance=1.0) == 1


def test_scenes_satisfy_their_own_prompt_alone(images: np.ndarray, specs: list[PromptSpec]) -> None:
    readings, rng = read(images), np.random.default_rng(5)

    def share_of_yes(prompts: list[PromptSpec]) -> float:
        return float(np.mean([satisfies(r, p).ok for r, p in zip(readings, prompts, strict=True)]))

    assert share_of_yes(specs) > 0.99
    assert share_of_yes([specs[i] for i in rng.permutation(len(specs))]) <= 0.02
    assert share_of_yes([changed(spec, rng) for spec in specs]) <= 0.03


def test_the_mirrored_relation_is_refused(scenes: list[Scene], images: np.ndarray) -> None:
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    which = [i for i in range(len(scenes)) if KINDS[i % len(KINDS)] == "position"]
    for reading, i in zip(read(images[which]), which, strict=True):
        spec = spec_of(scenes[i], "position")
        assert satisfies(reading, spec).ok
        assert not satisfies(reading, PromptSpec("position", spec.objects, opposite[spec.relation])).ok


@pytest.mark.parametrize("kind", ["stain", "half", "faint", "merged"])
def test_other_shapes_are_unknown_and_make_the_scene_wrong(kind: str) -> None:
    bare, image = drawn(BLUE_STAR), drawn(BLUE_STAR, RED_CIRCLE)
    y, x = np.mgrid[:48, :48] + 0.5
    if kind == "stain":
        share = np.exp(-((x - 8) ** 2 + (y - 24) ** 2) / 25)[..., None]
        image = np.rint(bare * (1 - share) + np.array(COLOURS["red"]) * share).astype(np.uint8)
    elif kind == "half":
        image[:, :, :8] = bare[:, :, :8]
    elif kind == "faint":
        image = (0.5 * image + 0.5 * bare).astype(np.uint8)
    else:
        image = np.maximum(image, drawn(SceneObject("cross", "red", 15.0, 29.0, 6.5)))
    (reading,) = read(image)
    assert {item.shape for item in reading.objects if item.x < 24} == {UNKNOWN}
    verdict = satisfies(reading, PromptSpec("two_object", ((1, None, "star"),)))
    assert not verdict.ok and any("thing" in reason for reason in verdict.reasons)


def test_reasons_name_what_was_seen_and_what_is_wrong() -> None:
    (reading,) = read(drawn(RED_CIRCLE, BLUE_STAR))
    assert satisfies(reading, PromptSpec("color_attr", ((1, "blue", "star"), (1, "red", "circle")))).ok
    wrong = satisfies(reading, PromptSpec("counting", ((2, "red", "circle"),)))
    assert wrong.reasons == [
        "saw red circle at (8, 24), blue star at (40, 24)",
        "asked for two red circles, saw 1",
        "nobody asked for the blue star",
    ]
    placed = satisfies(reading, PromptSpec("position", ((1, None, "star"), (1, None, "circle")), "above"))
    assert placed.reasons[1:] == ["asked for star above circle, but the blue star is right of the red circle"]
    (nothing,) = read(np.zeros((1, 48, 48, 3), dtype=np.uint8))
    assert satisfies(nothing, spec_of(Scene((BLUE_STAR,), 1), "single_object")).reasons[0] == "saw nothing"


def test_same_scene_compares_positions_and_extra_objects() -> None:
    (reading,) = read(drawn(RED_CIRCLE, BLUE_STAR))
    assert same_scene(reading, Scene((BLUE_STAR, RED_CIRCLE), 9))
    assert not same_scene(reading, Scene((RED_CIRCLE,), 1))
    moved = SceneObject("circle", "red", 8.0, 30.0, 6.5)
    assert not same_scene(reading, Scene((moved, BLUE_STAR), 1))
    assert same_scene(reading, Scene((moved, BLUE_STAR), 1), tolerance=7.0)


def test_reading_is_fast_and_does_not_depend_on_the_batch(images: np.ndarray) -> None:
    start = time.process_time()
    readings = read(images)
    assert len(images) / (time.process_time() - start) > 250  # five times as many on a quiet core
    assert list(map(str, read(images[300:310]))) == list(map(str, readings[300:310]))
    assert read(images[:0]) == []


def test_other_arrays_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"reads uint8 images \(N, H, W, 3\), not float32 \(2, 3, 48, 48\)"):
        read(np.zeros((2, 3, 48, 48), dtype=np.float32))
