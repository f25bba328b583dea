"""A file of prompts, one a line, whatever a line holds."""

from pathlib import Path


def read_prompt_lines(path: Path, give: str) -> list[str]:
    """The lines of a file; an empty file is one empty line.

    Args:
        path: which.
        give: what to give where it is missing.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no text.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no prompt file {path}: give {give}")
    try:
        return path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text: {error}") from error
