"""Numbers of images on disk, appended image by image: a JSON object a line, with a stamp of all that they rest on.

A line is believed as long as its stamp holds; what is stale or cut off is dropped, and what is of an image that is not
asked for this time is left. Who scored is told by the file's name.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common.hashes import hash_json
from common.json_files import append_json_line, read_json_lines, write_json_lines
from common.progress import progress

Numbers = dict[str, float | None]  # None: a measure that this image has not


def scores_file(folder: Path, about: Mapping[str, Any]) -> Path:
    """Where a folder's numbers by one scorer are, who is told by `about`."""
    return folder / f"scores-{hash_json(about)}.jsonl"


class KeptScores:
    """The numbers of one scorer.

    Args:
        path: the file; what is not worth keeping in it is taken out.
        stamps: what each image's numbers must rest on, by the image's name.
    """

    def __init__(self, path: Path, stamps: Mapping[str, str]) -> None:
        self.path, self.stamps = path, stamps
        self.known: dict[str, Numbers] = {}
        lines = read_json_lines(path)
        kept: list[dict[str, Any]] = []
        for said in lines:
            if said is None or not _is_whole(said) or said["name"] in self.known:
                continue
            if said["name"] in stamps:
                if stamps[said["name"]] != said["stamp"]:
                    continue
                self.known[said["name"]] = said["numbers"]
            kept.append(said)
        if len(kept) < len(lines):
            write_json_lines(path, kept)

    def add(self, name: str, numbers: Numbers) -> None:
        """Keeps one more image's numbers, on disk before it returns."""
        append_json_line(self.path, {"name": name, "stamp": self.stamps[name], "numbers": numbers})
        self.known[name] = numbers

    def complete(self, measure: Callable[[str], Numbers]) -> None:
        """Has every image measured that is not known yet."""
        missing = [name for name in self.stamps if name not in self.known]
        for name in progress(missing, "images scored"):
            self.add(name, measure(name))


def _is_whole(said: Mapping[str, Any]) -> bool:
    if not isinstance(said.get("numbers"), dict):
        return False
    named = all(isinstance(said.get(key), str) for key in ("name", "stamp"))
    return named and all(value is None or isinstance(value, float) for value in said["numbers"].values())
