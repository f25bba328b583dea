"""Numbers of images on disk, appended image by image: a JSON object a line, with a stamp of all that they rest on.

A line is believed as long as its stamp holds; what is stale or cut off is dropped, and what is of an image that is not
asked for this time is left. Who scored is told by the file's name.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from evals.image_files import write_whole

Numbers = dict[str, float | None]  # None: a measure that this image has not


def stamp(*contents: bytes) -> str:
    """Sixteen hex digits of what a number rests on."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:16]


class KeptScores:
    """The numbers of one scorer.

    Args:
        path: the file; what is not worth keeping in it is taken out.
        stamps: what each image's numbers must rest on.
    """

    def __init__(self, path: Path, stamps: Mapping[str, str]) -> None:
        self.path, self.stamps = path, stamps
        self.known: dict[str, Numbers] = {}
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        kept: list[bytes] = []
        for line in lines:
            said = _read(line)
            if said is None or said["name"] in self.known:
                continue
            if said["name"] in stamps:
                if stamps[said["name"]] != said["stamp"]:
                    continue
                self.known[said["name"]] = said["numbers"]
            kept.append(line)
        if len(kept) < len(lines):
            write_whole(path, b"".join(kept))

    def add(self, name: str, numbers: Numbers) -> None:
        """Keeps one more image's numbers, on disk before it returns."""
        self.known[name] = numbers
        with self.path.open("ab") as file:
            file.write(self._line(name))
            file.flush()
            os.fsync(file.fileno())

    def _line(self, name: str) -> bytes:
        said = {"name": name, "stamp": self.stamps[name], "numbers": self.known[name]}
        return (json.dumps(said) + "\n").encode()


def _read(line: bytes) -> dict | None:
    """What a line says; None where it is cut off or damaged."""
    try:
        said = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    whole = isinstance(said, dict) and isinstance(said.get("numbers"), dict)
    if not whole or not all(isinstance(said.get(key), str) for key in ("name", "stamp")):
        return None
    numbers = said["numbers"].values()
    return said if all(value is None or isinstance(value, float) for value in numbers) else None
