"""Verdicts on disk, in the columns that the official scorer writes, so that its summary reads the file.

They are filename, tag, prompt, correct, reason, metadata and details; ours besides is `image`, a hash of its bytes.
"""

from evals.score_cache import Row, ScoreCache

TEXTS = ("filename", "tag", "prompt", "reason", "metadata", "details", "image")


class Results(ScoreCache):
    """The verdicts of one scorer; the fingerprint of an image is its hash and its prompt's metadata."""

    key = "filename"
    keeps_others = False  # the official summary would count them

    def is_valid(self, row: Row) -> bool:
        """Whether a row has all columns."""
        return isinstance(row.get("correct"), bool) and all(isinstance(row.get(key), str) for key in TEXTS)

    def fingerprint(self, row: Row) -> tuple[str, str]:
        """The image's hash and its prompt's metadata."""
        return row["image"], row["metadata"]
