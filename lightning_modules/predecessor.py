"""Where a stage starts: the model folder of another, or a clear word that it is not there."""

from pathlib import Path
from typing import Any

import yaml

from models.model_folder import load_parts

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
SHORT = (CONFIGS, CONFIGS / "playground")  # configs in these are named without their folder


def parts_of(stage: str, folder: str, *names: str) -> dict[str, Any]:
    """Loads parts (all, where none is named) from a predecessor's model folder.

    Raises:
        FileNotFoundError: it is not there; the message names the command that makes it.
    """
    if not (Path(folder) / "illume.json").is_file():
        raise FileNotFoundError(
            f"{stage} starts from {folder}, which is not there: run `python train.py --config {maker(folder)}`"
        )
    return load_parts(folder, names or None)


def maker(folder: str) -> str:
    """The config whose run makes the model folder `runs/NAME/model`, as --config takes it."""
    run = Path(folder).parent
    for path in sorted(CONFIGS.rglob("*.yaml")):
        name = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("name")
        if name and f"/{run.as_posix()}".endswith(f"/{name}"):
            return path.name if path.parent in SHORT else path.relative_to(CONFIGS).as_posix()
    return f"{run.name}.yaml"
