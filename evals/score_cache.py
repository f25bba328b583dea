"""Scores of images on disk: a JSON object a line, appended image by image, with a fingerprint of all they depend on.

A row is used as long as its fingerprint holds; a stale or damaged one is dropped. The scorer is named by the file's name:
another network, threshold or version has a file of its own.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common.hashes import hash_json
from common.json_files import append_json_line, read_json_lines, write_json_lines
from common.progress import progress

Row = dict[str, Any]
Scores = dict[str, float | None]  # None: the measure is not defined for this image


class ScoreCache:
    """The rows of one scorer's file, from which stale ones are removed; fingerprints are by the name of the image."""

    key = "name"
    keeps_others = True  # rows of images that are not asked for this time

    def __init__(self, path: Path, fingerprints: Mapping[str, Any]) -> None:
        self.path, self.fingerprints = path, fingerprints
        self.rows: dict[str, Row] = {}
        lines = read_json_lines(path)
        kept: list[Row] = []
        for row in lines:
            if row is None or not self.is_valid(row) or row[self.key] in self.rows:
                continue
            name = row[self.key]
            if name in fingerprints:
                if self.fingerprint(row) != fingerprints[name]:
                    continue
                self.rows[name] = row
            elif not self.keeps_others:
                continue
            kept.append(row)
        if len(kept) < len(lines):
            write_json_lines(path, kept)

    def is_valid(self, row: Row) -> bool:
        """Whether a row has all that it must have."""
        scores = row.get("scores")
        return (
            isinstance(scores, dict)
            and all(isinstance(row.get(key), str) for key in ("name", "fingerprint"))
            and all(value is None or isinstance(value, float) for value in scores.values())
        )

    def fingerprint(self, row: Row) -> Any:
        """What a row depends on."""
        return row["fingerprint"]

    def add(self, name: str, row: Row) -> None:
        """Keeps one more row, on disk before it returns."""
        self.rows[name] = {self.key: name, **row}
        append_json_line(self.path, self.rows[name])

    def complete(self, score: Callable[[str], Row]) -> None:
        """Scores every image that has no row yet."""
        missing = [name for name in self.fingerprints if name not in self.rows]
        for name in progress(missing, "images scored"):
            self.add(name, score(name))


def cached_scores(
    folder: Path, scorer: Mapping[str, Any], fingerprints: Mapping[str, str], score: Callable[[str], Scores]
) -> tuple[dict[str, Scores], str]:
    """The scores of a folder's images by name, each computed once, and the name of the file that holds them.

    `scorer` is what tells its scores from another's.
    """
    cache = ScoreCache(folder / f"scores-{hash_json(scorer)}.jsonl", fingerprints)
    cache.complete(lambda name: {"fingerprint": fingerprints[name], "scores": score(name)})
    return {name: row["scores"] for name, row in cache.rows.items()}, cache.path.name
