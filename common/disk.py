"""How much room a disk has."""

import shutil
from pathlib import Path


def free_bytes(path: Path) -> int:
    """Bytes that are free where `path` is, or would be made."""
    path = path.absolute()
    return shutil.disk_usage(next(place for place in (path, *path.parents) if place.exists())).free


def gigabytes(size: int) -> str:
    """Bytes, as people say them."""
    return f"{size / 1e9:,.1f} GB"
