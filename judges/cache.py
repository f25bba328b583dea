"""Opinions on disk, so that none is paid for twice: one file each, named by image, prompt and judge."""

import hashlib
import json
from pathlib import Path

from torch import Tensor

from common.files import write_text
from judges.judge import Opinion, opinion_from_json, opinion_to_json


class OpinionCache:
    """A folder of opinions; None keeps nothing. `judge` names a judge and its settings."""

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
        """Hash of the judge, a prompt and an image (3, H, W) uint8."""
        digest = hashlib.sha256(f"{self.judge}\0{prompt}\0{tuple(image.shape)}\0".encode())
        digest.update(image.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def get(self, key: str) -> Opinion | None:
        """The opinion of a key, if any; a damaged file counts as none."""
        if self.folder is None or not self._path(key).is_file():
            return None
        try:
            return opinion_from_json(json.loads(self._path(key).read_text(encoding="utf-8"))["opinion"])
        except (ValueError, KeyError, TypeError):
            return None

    def put(self, key: str, prompt: str, opinion: Opinion) -> None:
        """Keeps an opinion."""
        if self.folder is not None:
            kept = {"judge": self.judge, "prompt": prompt, "opinion": opinion_to_json(opinion)}
            write_text(self._path(key), json.dumps(kept) + "\n")

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.json"
