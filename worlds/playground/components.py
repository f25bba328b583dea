"""Finds connected components on the ground: removes the soft light, then joins bright pixels of like hue.

Works on a whole batch at once with numpy alone. Foreground pixels are kept as a flat list, F of them, so that the cost
follows what is drawn.
"""

from dataclasses import dataclass

import numpy as np

from worlds.playground.render import GROUND
from worlds.playground.scene import COLOURS

PAINTS = 0.92 * np.array(list(COLOURS.values()), dtype=np.float32) - GROUND  # (8, 3) what each colour adds
PAINT_LENGTHS = np.linalg.norm(PAINTS, axis=1)
HUES = PAINTS / PAINT_LENGTHS[:, None]
SOLID = 0.5  # a pixel covered less than this belongs to an edge; two shapes one pixel apart stay apart
CANDIDATE = 45.0  # contrast, of 255, below which no pixel can be solid: five deviations of the grain
GHOST = 40.0  # contrast of a 3 x 3 mean above which a faint stain counts as something seen
SAME_HUE = 0.93  # cosine between the hues of two neighbours above which they may be one object


@dataclass(frozen=True)
class Components:
    """K components of a batch of N images.

    contrast: (N, H, W, 3) images less their ground; labels: (N, H, W) the component of each pixel, or -1.
    Of each component (K,): image, the index of its image; x and y, the mean of its pixels' positions; area, how
    many they are; paint (K, 3), the contrast of its inside.
    """

    contrast: np.ndarray
    labels: np.ndarray
    image: np.ndarray
    x: np.ndarray
    y: np.ndarray
    area: np.ndarray
    paint: np.ndarray


def remove_ground(images: np.ndarray) -> np.ndarray:
    """Images (N, H, W, 3) less their ground, a plane fitted to each channel's dark pixels; float32."""
    n, height, width, _ = images.shape
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    basis = np.stack([np.ones(x.size), x.ravel(), y.ravel()], axis=1).astype(np.float32)  # (P, 3)
    products = (basis[:, :, None] * basis[:, None, :]).reshape(-1, 9)
    pixels = images.reshape(n, -1, 3).astype(np.float32)
    brightness = pixels.max(axis=2)  # (N, P)
    middle = np.minimum(np.median(brightness, axis=1, keepdims=True), 2 * GROUND.max())
    for _ in range(2):  # the second fit leaves out the edges that the first let in
        dark = (brightness < middle + CANDIDATE).astype(np.float32)
        normal = (dark @ products).reshape(n, 3, 3) + 1e-3 * np.eye(3, dtype=np.float32)
        plane = np.linalg.solve(normal, basis.T @ (pixels * dark[..., None]))  # (N, 3, channel)
        ground = np.clip(basis @ plane, 0, 2 * GROUND)  # a ground brighter than any light allows is no ground
        middle = ground.max(axis=2)
    return (pixels - ground).reshape(images.shape)


def dilate(masks: np.ndarray, steps: int) -> np.ndarray:
    """Masks (N, H, W) grown by `steps` pixels up, down and sideways, so by a square."""
    n, height, width = masks.shape
    padded = np.pad(masks, ((0, 0), (steps, steps), (steps, steps)))
    rows = np.logical_or.reduce([padded[:, i : i + height] for i in range(2 * steps + 1)])
    return np.logical_or.reduce([rows[:, :, i : i + width] for i in range(2 * steps + 1)])


def _box_mean(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9


def foreground(contrast: np.ndarray) -> np.ndarray:
    """Mask (N, H, W) of solid pixels, and of faint stains away from them."""
    strength = contrast.max(axis=3)
    solid = np.zeros(strength.shape, dtype=bool)
    pixel_index = np.nonzero(strength > CANDIDATE)
    pixels = contrast[pixel_index]  # (F, 3)
    nearest = (pixels @ HUES.T).argmax(axis=1)
    solid[pixel_index] = (pixels * HUES[nearest]).sum(axis=1) > SOLID * PAINT_LENGTHS[nearest]
    return solid | ((_box_mean(strength) > GHOST) & ~dilate(solid, 3))


def _neighbours(mask: np.ndarray, contrast: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of F pixels of `mask` its neighbours (4, F), itself if none is alike, and if all are (F,)."""
    n, height, width = mask.shape
    pixel_index = np.nonzero(mask)
    order = np.full((n, height + 2, width + 2), -1, dtype=np.int32)
    image, row, column = pixel_index[0], pixel_index[1] + 1, pixel_index[2] + 1
    own = np.arange(image.size, dtype=np.int32)
    order[image, row, column] = own
    hue = contrast[pixel_index]
    hue = hue / np.maximum(np.linalg.norm(hue, axis=1, keepdims=True), 1e-6)
    links, inner = [], []
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        other = order[image, row + dy, column + dx]
        alike = (other >= 0) & ((hue * hue[other]).sum(axis=1) > SAME_HUE)
        links.append(np.where(alike, other, own))
        inner.append(alike)
    return np.stack(links), np.logical_and.reduce(inner)


def find_components(images: np.ndarray) -> Components:
    """The components of images (N, H, W, 3) uint8: solid pixels joined with those beside them of like hue."""
    contrast = remove_ground(images)
    mask = foreground(contrast)
    links, inner = _neighbours(mask, contrast)
    label = np.arange(links.shape[1], dtype=np.int32)
    while True:  # each pixel takes the least label around it, then that label's own label
        least = np.minimum(label, label[links].min(axis=0))
        least = least[least]
        if np.array_equal(least, label):
            break
        label = least
    first, label = np.unique(label, return_inverse=True)
    image, y, x = np.nonzero(mask)
    area = np.bincount(label, minlength=first.size)
    # the inside alone tells the paint; a component too thin to have one is judged by all of itself
    weight = inner + 1e-3
    total = np.bincount(label, weight, first.size)
    paint = np.stack([np.bincount(label, weight * c, first.size) / total for c in contrast[mask].T], axis=1)
    labels = np.full(mask.shape, -1, dtype=np.int32)
    labels[mask] = label
    centre_x, centre_y = (np.bincount(label, p + 0.5, first.size) / area for p in (x, y))
    return Components(contrast, labels, image[first], centre_x, centre_y, area, paint.astype(np.float32))
