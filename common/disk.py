"""Free space of a disk."""

import shutil
from pathlib import Path


def free_bytes(path: Path) -> int:
    """Free bytes on the disk where `path` is, or would be made."""
    path = path.absolute()
    return shutil.disk_usage(next(parent for parent in (path, *path.parents) if parent.exists())).free


def gigabytes(size: int) -> str:
    """Formats bytes."""
    return f"{size / 1e9:,.1f} GB"
