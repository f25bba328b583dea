"""Verdicts on disk, appended image by image: a JSON object a line, as the official scorer writes them.

Its columns are the official scorer's (filename, tag, prompt, correct, reason, metadata, details), so that its summary
reads the file, and `image`, a hash of the image's bytes. The file's name holds a hash of who scored and by which rules:
another detector, CLIP or threshold has a file of its own. What is stale in it (another image or prompt) or cut off is
dropped.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.json_files import append_json_line, read_json_lines, write_json_lines

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
        lines = read_json_lines(path)
        for said in lines:
            if said is None or not _is_whole(said) or said["filename"] in self.known:
                continue
            name = said["filename"]
            if images.get(name) == said["image"] and metadata.get(name) == said["metadata"]:
                self.known[name] = said
        if len(self.known) < len(lines):
            write_json_lines(path, self.known.values())

    def add(self, result: Result) -> None:
        """Keeps one more verdict, on disk before it returns."""
        append_json_line(self.path, result)
        self.known[result["filename"]] = result


def _is_whole(said: Result) -> bool:
    return isinstance(said.get("correct"), bool) and all(isinstance(said.get(key), str) for key in TEXTS)
