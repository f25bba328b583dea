"""Where a stage starts: the model folder of another, or a clear word that it is not there."""

from pathlib import Path
from typing import Any

from models.model_folder import load_parts


def parts_of(stage: str, folder: str, *names: str) -> dict[str, Any]:
    """Loads parts (all, where none is named) from a predecessor's model folder.

    Raises:
        FileNotFoundError: it is not there; the message names the command that makes it.
    """
    if not (Path(folder) / "illume.json").is_file():
        maker = Path(folder).parent.name
        raise FileNotFoundError(
            f"{stage} starts from {folder}, which is not there: run `python train.py --config {maker}.yaml`"
        )
    return load_parts(folder, names or None)
