"""Draws a scene: anti-aliased shapes under a soft light, with a grain that no caption speaks of.

Light and grain stand for what only a generative decoder can draw: they follow from `Scene.texture_seed`.
"""

import numpy as np

from worlds.playground.scene import COLOURS, IMAGE_SIZE, Scene, SceneObject

GRAIN = 9.0  # standard deviation of the grain on the ground, in levels of 255
GROUND = np.array([34.0, 36.0, 44.0], dtype=np.float32)


def _pixels(size: int) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(size, dtype=np.float32) + 0.5
    return axis[None, :], axis[:, None]


def _polygon_distance(dx: np.ndarray, dy: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Signed distance (pixels, negative inside) from each offset to a polygon given as (K, 2) corners."""
    ax, ay = corners.T[:, :, None, None]  # (K, 1, 1), for all K edges at once
    bx, by = np.roll(corners, -1, axis=0).T[:, :, None, None]
    ex, ey = bx - ax, by - ay
    rx, ry = dx - ax, dy - ay  # (K, 1, W), (K, H, 1)
    t = np.clip((rx * ex + ry * ey) / (ex * ex + ey * ey), 0, 1)
    distance = np.hypot(rx - t * ex, ry - t * ey).min(axis=0)
    crosses = (ay > dy) != (by > dy)
    inside = np.logical_xor.reduce(crosses & (dx < ex * ry / np.where(ey == 0, 1e-9, ey) + ax), axis=0)
    return np.where(inside, -distance, distance)


def _star_corners(radius: float) -> np.ndarray:
    angles = np.pi / 5 * np.arange(10) - np.pi / 2
    radii = np.where(np.arange(10) % 2 == 0, 1.12 * radius, 0.45 * radius)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _cross_corners(radius: float) -> np.ndarray:
    a, b = radius, 0.34 * radius
    arm = np.array([(-b, -a), (b, -a), (b, -b)])  # each further arm is this one after a quarter turn
    quarter = np.array([(0, 1), (-1, 0)])
    return np.concatenate([arm @ np.linalg.matrix_power(quarter, k) for k in range(4)])


def coverage(shape: str, dx: np.ndarray, dy: np.ndarray, radius: float) -> np.ndarray:
    """Share of each pixel, 0 to 1, that a shape covers; dx (1, W), dy (H, 1) are offsets from its centre."""
    if shape == "circle":
        distance = np.hypot(dx, dy) - radius
    elif shape == "ring":
        distance = np.abs(np.hypot(dx, dy) - 0.74 * radius) - 0.26 * radius
    elif shape == "square":
        half = 0.84 * radius
        distance = np.maximum(np.abs(dx), np.abs(dy)) - half
    elif shape == "triangle":
        corners = radius * np.array([(0.0, -1.05), (1.02, 0.72), (-1.02, 0.72)])
        distance = _polygon_distance(dx, dy, corners)
    elif shape == "star":
        distance = _polygon_distance(dx, dy, _star_corners(radius))
    elif shape == "cross":
        distance = _polygon_distance(dx, dy, _cross_corners(radius))
    else:
        raise ValueError(f"unknown shape {shape!r}")
    return np.clip(0.5 - distance, 0, 1)


def object_mask(item: SceneObject, size: int = IMAGE_SIZE) -> np.ndarray:
    """Coverage (H, W), float 0 to 1, of one object."""
    x, y = _pixels(size)
    return coverage(item.shape, x - item.x, y - item.y, item.radius)


def _window(item: SceneObject) -> tuple[slice, slice]:
    """The rows and columns that an object can touch."""
    reach = 1.2 * item.radius + 1
    rows, columns = ((max(0, int(c - reach)), min(IMAGE_SIZE, int(c + reach) + 1)) for c in (item.y, item.x))
    return slice(*rows), slice(*columns)


def render(scene: Scene) -> np.ndarray:
    """The scene as an image (H, W, 3), uint8. The same scene always gives the same pixels."""
    rng = np.random.Generator(np.random.PCG64(scene.texture_seed))
    x, y = _pixels(IMAGE_SIZE)
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.22)
    slope = ((x - 24) * np.cos(angle) + (y - 24) * np.sin(angle)) / 24
    light = 1.0 + strength * slope  # (H, W)
    fine = rng.normal(0, 1, (IMAGE_SIZE, IMAGE_SIZE)).astype(np.float32)
    before = np.arange(-1, IMAGE_SIZE - 1)  # the neighbour above or to the left, round the border
    above = fine[before]
    grain = fine + above + fine[:, before] + above[:, before]
    grain /= 2  # soft, of variance 1
    canvas = GROUND[:, None, None] * (0.6 + 0.9 * (light - 0.6)) * light + GRAIN * grain  # (3, H, W)
    for item in scene.objects:
        rows, columns = window = _window(item)
        alpha = coverage(item.shape, x[:, columns] - item.x, y[rows] - item.y, item.radius)
        colour = np.array(COLOURS[item.colour], dtype=np.float32)[:, None, None]
        paint = colour * (0.92 + 0.5 * (light[window] - 1)) + 0.5 * GRAIN * grain[window]
        canvas[:, rows, columns] = canvas[:, rows, columns] * (1 - alpha) + paint * alpha
    return np.ascontiguousarray(np.clip(np.rint(canvas), 0, 255).astype(np.uint8).transpose(1, 2, 0))
