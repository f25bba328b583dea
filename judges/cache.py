"""Opinions on disk, so that none is paid for twice: one file each, named by image, prompt and judge."""

import hashlib
import json
from pathlib import Path

from torch import Tensor

from common.files import write_text
from judges.assessment import Assessment
from judges.judge import Unjudged, opinion_from_json, opinion_to_json


class OpinionCache:
    """A folder of opinions.

    Args:
        folder: where they are; None keeps nothing.
        judge: what tells one judge and its settings from another.
    """

    def __init__(self, folder: str | Path | None, judge: str) -> None:
        self.folder, self.judge = None if folder is None else Path(folder), judge

    def check(self) -> None:
        """Makes the folder.

        Raises:
            OSError: nothing can be kept there.
        """
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)

    def key(self, prompt: str, image: Tensor) -> str:
        """What names an opinion of an image (3, H, W) uint8."""
        digest = hashlib.sha256(f"{self.judge}\0{prompt}\0{tuple(image.shape)}\0".encode())
        digest.update(image.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def get(self, key: str) -> Assessment | Unjudged | None:
        """What was said, if anything; a damaged file is as good as none."""
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            return opinion_from_json(json.loads(path.read_text(encoding="utf-8"))["opinion"])
        except (ValueError, KeyError, TypeError):
            return None

    def put(self, key: str, prompt: str, opinion: Assessment | Unjudged) -> None:
        """Keeps an opinion."""
        path = self._path(key)
        if path is None:
            return
        kept = {"judge": self.judge, "prompt": prompt, "opinion": opinion_to_json(opinion)}
        write_text(path, json.dumps(kept) + "\n")

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / key[:2] / f"{key}.json"
