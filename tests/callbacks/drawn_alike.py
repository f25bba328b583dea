"""Whether two folders were drawn by the same settings and hold the same images."""

from pathlib import Path
from typing import Any

from common.images import open_image
from evals.drawing_record import read_record
from evals.editing.measures import difference


def without_model(folder: Path) -> dict[str, Any]:
    """The folder's record but for the model, which a stage in training has no hash of."""
    return {name: value for name, value in read_record(folder).items() if name != "model"}


def unlike(one: Path, other: Path) -> float:
    """The mean difference of pixels from 0 to 1; a model that was saved and loaded may round a pixel otherwise."""
    first, second = (open_image(path.read_bytes(), str(path)) for path in (one, other))
    return difference(first, second)
