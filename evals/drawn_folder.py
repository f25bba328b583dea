"""A folder of images that a benchmark asks for: what is in it, and drawing what is missing.

    DIR/drawn.json   the model that drew them, the seed and the settings

Each file is written whole or not at all, and each image has a seed of its own: a command that was killed goes on with
what is missing and leaves the same folder, however many processes it has the second time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from common.files import write_bytes
from common.images import encode_image
from common.progress import progress
from evals.drawing_record import RECORD, check_record, read_record, write_record
from evals.image_sets import ImageFile, by_stem, image_files, require_all
from evals.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from torch import Tensor


class ImageRequest(NamedTuple):
    """An image to be drawn."""

    path: str  # in the folder
    seed: int
    source: Any  # what it is drawn from: a prompt, an image file, an edit
    series: str = ""  # images that one process draws, because some start from others
    turn: int = 0  # in a series; it is drawn after those of lower turns

    @property
    def stem(self) -> str:
        """The path without its suffix."""
        return self.path.rpartition(".")[0]


Draw = Callable[[Sequence[ImageRequest]], "Tensor"]  # requests to images (B, 3, H, W) uint8


def image_seed(seed: int, index: int) -> int:
    """The seed of the image at an index of the whole set."""
    return seed * 1_000_003 + index


@dataclass(frozen=True)
class DrawnFolder:
    """A folder and the images that it is to hold; those of other programs may have other suffixes."""

    path: Path
    requests: Sequence[ImageRequest]  # every image that it may hold
    wanted: Sequence[ImageRequest]  # those that are asked for this time
    record: Mapping[str, Any]  # of the drawing; empty where nothing is drawn
    count_option: ClassVar[str] = "--limit"

    def existing(self) -> dict[str, ImageFile]:
        """The images in the folder, by stem. Raises ValueError if one is not among the requests, or is there twice."""
        try:
            found = image_files(self.path)
        except FileNotFoundError:
            return {}
        why = f"nothing here asks for it (images are called {self.requests[0].path} and so on)"
        return by_stem(found, {request.stem for request in self.requests}, why)

    def check(self) -> None:
        """Makes sure that the images are those of the record, or, without one, that none is missing.

        Raises FileNotFoundError if some are missing, and nothing is drawn; ValueError if there are others.
        """
        if not self.record:
            self.files()
        elif self.path.exists():
            check_record(self.path, self.record)
            if self.existing() and not read_record(self.path):
                raise ValueError(
                    f"{self.path} holds images but no {RECORD}, so nobody knows who drew them: "
                    "leave out --model to score them"
                )

    def files(self) -> dict[str, ImageFile]:
        """The wanted images, by the paths of their requests. Raises FileNotFoundError if some are missing."""
        do = f"draw them with --model DIR, or give {self.count_option} N for how many are meant"
        found = require_all(self.existing(), [request.stem for request in self.wanted], self.path, do)
        return {request.path: file for request, file in zip(self.wanted, found, strict=True)}

    def prepare(self) -> None:
        """Writes what the folder holds beside its images; the first process does, before any image."""
        write_record(self.path, self.record)

    def fill(self, draw: Draw, batch: int, ranks: Ranks = ALONE) -> int:
        """Draws this process's share of what is missing; returns, once all have drawn, how many images that were."""
        if ranks.first:
            self.prepare()
        ranks.wait()
        found = self.existing()
        groups = set(ranks.share(list(dict.fromkeys(r.series or r.path for r in self.wanted))))
        missing = [r for r in self.wanted if (r.series or r.path) in groups and r.stem not in found]
        drawn = sum(1 for _ in progress(self._draw(draw, missing, batch), "images drawn", len(missing)))
        ranks.wait()
        return drawn

    def _draw(self, draw: Draw, missing: Sequence[ImageRequest], size: int) -> Iterator[ImageRequest]:
        """Draws images, a batch of one turn at a time, and yields each request once its image is written."""
        from models.image_input import to_pil

        for _, turn in groupby(sorted(missing, key=lambda r: r.turn), key=lambda r: r.turn):
            requests = list(turn)
            for start in range(0, len(requests), size):
                batch = requests[start : start + size]
                for request, image in zip(batch, draw(batch), strict=True):
                    write_bytes(self.path / request.path, encode_image(to_pil(image), request.path))
                    yield request
