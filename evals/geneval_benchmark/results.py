"""Verdicts on disk, appended image by image: a JSON object a line, as the official scorer writes them.

Its columns are the official scorer's (filename, tag, prompt, correct, reason, metadata, details), so that its summary
reads the file, and `image`, a hash of the image's bytes. The file's name holds a hash of who scored and by which rules:
another detector, CLIP or threshold has a file of its own. What is stale in it (another image or prompt) or cut off is
dropped.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals.image_files import write_whole

Result = dict[str, Any]
TEXTS = ("filename", "tag", "prompt", "reason", "metadata", "details", "image")


class Results:
    """The verdicts of one scorer on the images of one folder.

    Args:
        path: the file; what is not worth keeping in it is taken out.
        images: hash of every image by file name.
        metadata: prompt line of every image by file name.
    """

    def __init__(self, path: Path, images: Mapping[str, str], metadata: Mapping[str, str]) -> None:
        self.path = path
        self.known: dict[str, Result] = {}
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        for line in lines:
            said = _read(line)
            if said is None or said["filename"] in self.known:
                continue
            name = said["filename"]
            if images.get(name) == said["image"] and metadata.get(name) == said["metadata"]:
                self.known[name] = said
        if len(self.known) < len(lines):
            write_whole(path, b"".join(_line(said) for said in self.known.values()))

    def add(self, result: Result) -> None:
        """Keeps one more verdict, on disk before it returns."""
        with self.path.open("ab") as file:
            file.write(_line(result))
            file.flush()
            os.fsync(file.fileno())
        self.known[result["filename"]] = result


def _line(result: Result) -> bytes:
    return (json.dumps(result) + "\n").encode()


def _read(line: bytes) -> Result | None:
    """A verdict; None for a line that is cut off or damaged."""
    try:
        said = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    whole = isinstance(said, dict) and isinstance(said.get("correct"), bool)
    return said if whole and all(isinstance(said.get(key), str) for key in TEXTS) else None
