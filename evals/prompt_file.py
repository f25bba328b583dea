"""A file of prompts, one a line."""

from pathlib import Path

from common.checks import check_text
from common.text import read_text, split_lines


def read_prompt_lines(path: Path, give: str) -> list[str]:
    r"""The lines of a file in UTF-8, or in UTF-16 with a byte-order mark; only \n and \r\n end a line.

    Raises FileNotFoundError if it is not there, with what to `give`; ValueError if it is no text, is empty, or holds
    control characters.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no prompt file {path}: give {give}")
    lines = split_lines(read_text(path))
    while lines and not lines[-1].strip():  # what editors leave at the end
        lines.pop()
    if not lines:
        raise ValueError(f"{path} is empty: give {give}")
    for number, line in enumerate(lines, 1):
        if line.strip():
            check_text(line, f"{path}:{number}")
    return lines


def read_prompts(path: Path) -> list[str]:
    """Prompts, one a line, as `read_prompt_lines` reads them. Raises ValueError if a line is empty, too."""
    lines = read_prompt_lines(path, "one with a prompt a line")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise ValueError(f"{path}:{number} is empty: each line is a prompt")
    return lines
