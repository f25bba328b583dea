"""Reads metrics.csv of a run, which may be training and may have been cut off; needs no Lightning."""

import csv
import io
from pathlib import Path

Row = dict[str, str]


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """The columns and the whole rows of a metrics file; a row that was torn off while written is left out."""
    if not path.is_file():
        return [], []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    reader = csv.DictReader(io.StringIO(whole))
    return list(reader.fieldnames or []), list(reader)
