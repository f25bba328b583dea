"""Pictures of an evaluation, written as PNG files with a `pictures.json` that says what each shows."""

import json
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


def _write(folder: Path, name: str, image: Tensor) -> str:
    write_bytes(folder / f"{name}.png", encode_image(Image.fromarray(to_numpy(image[None])[0])))
    return f"{name}.png"


def write_pictures(
    folder: Path, drawings: list[Drawing], rebuilt: Reconstructions, edited: list[EditResult], most: int = 24
) -> None:
    """Writes the first drawings of each category, reconstructions and edits, as they came: nothing is chosen."""
    folder.mkdir(parents=True, exist_ok=True)
    shown: dict[str, Any] = {"drawings": [], "reconstructions": [], "edits": []}
    count: dict[str, int] = {}
    last = None
    for d in drawings:
        category = d.prompt.spec.category
        if d.prompt == last or count.get(category, 0) >= most // 4:
            continue
        last = d.prompt
        number = count[category] = count.get(category, 0) + 1
        file = _write(folder, f"draw-{category}-{number}", d.image)
        shown["drawings"].append(
            {"file": file, "prompt": d.prompt.text, "category": category, "ok": d.ok, "reasons": d.reasons}
        )
    for i in range(min(most // 3, len(rebuilt.real))):
        row = {
            "real": _write(folder, f"real-{i}", rebuilt.real[i]),
            "whole": _write(folder, f"whole-{i}", rebuilt.whole[i]),
        }
        if rebuilt.stem is not None:
            row["stem"] = _write(folder, f"stem-{i}", rebuilt.stem[i])
        shown["reconstructions"].append(row)
    for i, e in enumerate(edited[: most // 2]):
        row = {
            k: _write(folder, f"edit-{i}-{k}", im)
            for k, im in (("before", e.before), ("image", e.image), ("truth", e.after))
        }
        shown["edits"].append(row | {"instruction": e.edit.instruction, "ok": e.ok})
    write_text(folder / "pictures.json", json.dumps(shown, indent=1) + "\n")
