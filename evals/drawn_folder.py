"""A folder of images each of which was asked for: what is in it, and making what is missing.

GenEval's folder is another (`evals/geneval/images.py`): it holds each prompt's metadata beside its images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.drawing import Make, Order, check_known, check_same, count, make_missing, write_record
from evals.image_sets import Picture, by_stem, check_whole, pictures_in
from evals.ranks import ALONE, Ranks


@dataclass(frozen=True)
class DrawnFolder:
    """A folder and what it is to hold; other programs' images may be files of another kind.

    Args:
        path: where it is.
        orders: every image that it may hold.
        wanted: those that are asked for this time.
        record: who makes them; empty where nothing is made.
    """

    path: Path
    orders: Sequence[Order]
    wanted: Sequence[Order]
    record: Mapping[str, Any]

    def existing(self) -> dict[str, Picture]:
        """The images that are there, by stem.

        Raises:
            ValueError: there is one that nothing asks for, or one twice.
        """
        try:
            found = pictures_in(self.path)
        except FileNotFoundError:
            return {}
        why = f"nothing here asks for it (images are called {self.orders[0].path} and so on)"
        return by_stem(found, {order.stem for order in self.orders}, why)

    def check(self) -> None:
        """Makes sure that its images are those that are to be made in it, or, if none are, all there.

        Raises:
            FileNotFoundError: some are missing, and nothing is made.
            ValueError: there are others.
        """
        if not self.record:
            self.pictures()
        elif self.path.exists():
            check_same(self.path, self.record)
            check_known(self.path, self.existing())

    def pictures(self) -> dict[str, Picture]:
        """The wanted images by the paths of their orders, once they are there.

        Raises:
            FileNotFoundError: some are missing.
        """
        do = "draw them with --model DIR, or say with --limit N how many are meant"
        found = check_whole(self.existing(), [order.stem for order in self.wanted], self.path, do)
        return {order.path: picture for order, picture in zip(self.wanted, found, strict=True)}

    def fill(self, make: Make, batch: int, ranks: Ranks = ALONE) -> int:
        """Makes what is missing, each process its share; returns, once all have, how many this one made."""
        if ranks.first:
            write_record(self.path, self.record)
        ranks.wait()
        found = self.existing()
        groups = set(ranks.share(list(dict.fromkeys(order.group for order in self.wanted))))
        missing = [order for order in self.wanted if order.group in groups and order.stem not in found]
        made = count(make_missing(make, self.path, missing, batch))
        ranks.wait()
        return made
