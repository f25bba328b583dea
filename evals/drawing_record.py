"""The record of a folder of drawn images, `drawn.json`: the model that drew them, the seed and the settings."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.files import write_text
from common.json_files import read_object
from models.sampling_options import NAMES

RECORD = "drawn.json"


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Writes the record of a folder."""
    write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a folder; empty where it has none. Raises ValueError if it is damaged."""
    path = folder / RECORD
    try:
        return read_object(path) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{error}: remove it to score images that others drew") from error


def read_provenance(folder: Path) -> dict[str, Any]:
    """What a report says of the drawings: seed and model, None where they are unknown, and sampling settings."""
    record = read_record(folder)
    return {
        name: record.get(name) for name in ("seed", "model", *NAMES) if name in record or name not in NAMES
    }


def check_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Makes sure that a folder without a record, or with the same, is drawn into.

    Raises ValueError if its images are of another model, or were drawn otherwise.
    """
    found = read_record(folder)
    if found and (differ := [key for key, value in record.items() if found.get(key) != value]):
        shown = ", ".join(f"{key} {found.get(key)!r} and not {record[key]!r}" for key in differ)
        raise ValueError(f"{folder} holds images that were drawn with {shown}: name another folder")
