"""Types of command-line arguments: each converts a word, or refuses it in one clear line."""

import argparse
from collections.abc import Callable
from pathlib import Path

from common.checks import check_text
from common.paths import user_path

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")  # that images are written as


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A whole number from `low` to `high`."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is out of range: from {low} to {high}")
        return value

    return convert


def prompt_text(text: str) -> str:
    """Text that is not empty and can be printed."""
    try:
        return check_text(text, "it")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def existing_file(text: str) -> Path:
    """A file that is there."""
    path = user_path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{path} is not {'a file' if path.exists() else 'there'}")
    return path


def existing_folder(text: str) -> Path:
    """A folder that is there."""
    path = user_path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"the folder {text} is not there: make it first")
    return path


def new_image(text: str) -> Path:
    """A file that an image can be written to."""
    path = user_path(text)
    existing_folder(str(path.parent))
    if path.suffix.lower() not in IMAGE_SUFFIXES or path.is_dir():
        raise argparse.ArgumentTypeError(
            f"{text} is not the name of an image (*{', *'.join(IMAGE_SUFFIXES)})"
        )
    return path
