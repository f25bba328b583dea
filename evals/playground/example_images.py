"""Example images of an evaluation as PNG files, and a `pictures.json` of what each shows."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from common.files import write_bytes, write_text
from common.images import encode_image
from evals.playground.editing import EditResult
from evals.playground.geneval import Drawing
from evals.playground.reconstruction import Reconstructions
from judges.pixels import to_numpy


def write_example_images(
    folder: Path,
    drawings: list[Drawing],
    rebuilt: Reconstructions,
    edits: list[EditResult],
    count: int = 24,
) -> None:
    """Writes the first drawings of each category, reconstructions and edits, as they came: nothing is chosen."""

    def write(name: str, image: Tensor) -> str:
        write_bytes(folder / f"{name}.png", encode_image(Image.fromarray(to_numpy(image[None])[0])))
        return f"{name}.png"

    folder.mkdir(parents=True, exist_ok=True)
    shown: dict[str, list[dict[str, Any]]] = {"drawings": [], "reconstructions": [], "edits": []}
    numbers: Counter[str] = Counter()
    previous = None
    for drawing in drawings:
        category = drawing.prompt.spec.category
        if drawing.prompt == previous or numbers[category] >= count // 4:
            continue
        previous = drawing.prompt
        numbers[category] += 1
        file = write(f"draw-{category}-{numbers[category]}", drawing.image)
        about = {"prompt": drawing.prompt.text, "category": category}
        shown["drawings"].append({"file": file, **about, "ok": drawing.ok, "reasons": drawing.reasons})
    for i in range(min(count // 3, len(rebuilt.real))):
        images = {"real": rebuilt.real, "whole": rebuilt.whole, "stem": rebuilt.stem}
        row = {kind: write(f"{kind}-{i}", of[i]) for kind, of in images.items() if of is not None}
        shown["reconstructions"].append(row)
    for i, one in enumerate(edits[: count // 2]):
        images = {"before": one.before, "image": one.image, "truth": one.after}
        row = {kind: write(f"edit-{i}-{kind}", image) for kind, image in images.items()}
        shown["edits"].append(row | {"instruction": one.edit.instruction, "ok": one.ok})
    write_text(folder / "pictures.json", json.dumps(shown, indent=1) + "\n")
