"""GenEval's folder of images, in the layout that the official scorer reads.

DIR/drawn.json               who drew, with which seed and settings; the official scorer passes it over
DIR/00000/metadata.jsonl     the first prompt's line
DIR/00000/samples/0000.png   its first image
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from common.files import write_text
from common.images import has_image_extension
from evals.drawn_folder import DrawnFolder
from evals.geneval.metadata import Prompt, parse_line
from evals.geneval.vocabulary import GENEVAL, Vocabulary
from evals.image_sets import ImageFile

IMAGE_NAME = re.compile(r"(\d+)\.\w+")


def read_folder(folder: Path, vocabulary: Vocabulary = GENEVAL) -> list[Prompt]:
    """The prompts of a folder of images, from its own metadata.

    Raises FileNotFoundError if there is no folder, or metadata are missing; ValueError if a prompt is invalid.
    """
    folders = sorted(_prompt_folders(folder).items())
    numbers = [number for number, _ in folders]
    if numbers != list(range(len(numbers))) or not numbers:
        missing = min(set(range(len(numbers) + 1)) - set(numbers))
        raise FileNotFoundError(
            f"{folder} has no folder {missing:05d}: give --prompts FILE, or the folder of a whole set"
        )
    files = [path / "metadata.jsonl" for _, path in folders]
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is not there: give --prompts FILE, which says what each image is of"
            )
    return [parse_line(path.read_text(encoding="utf-8"), str(path), vocabulary) for path in files]


def _prompt_folders(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder of images {folder}: draw them with --model DIR")
    return {int(p.name): p for p in folder.iterdir() if p.is_dir() and p.name.isdecimal()}


def image_stem(prompt: int, sample: int) -> str:
    """The path of an image without its suffix."""
    return f"{prompt:05d}/samples/{sample:04d}"


@dataclass(frozen=True)
class GenEvalFolder(DrawnFolder):
    """The folder of the prompts' images, each beside its prompt's metadata."""

    prompts: Sequence[Prompt]
    samples: int
    count_option: ClassVar[str] = "--seeds"

    def existing(self) -> dict[str, ImageFile]:
        """The images in the folder by stem; other programs may number them with more digits.

        Raises FileNotFoundError if there is no folder; ValueError if images were not asked for, or are of other prompts.
        """
        found: dict[str, ImageFile] = {}
        for number, folder in sorted(_prompt_folders(self.path).items()):
            if number >= len(self.prompts):
                raise ValueError(
                    f"{folder} is of no prompt: there are {len(self.prompts)}; take it away, or give its prompts"
                )
            _check_metadata(folder / "metadata.jsonl", self.prompts[number])
            for path in sorted(folder.glob("samples/*")):
                if path.name.startswith(".") or not has_image_extension(path.name):
                    continue
                name = IMAGE_NAME.fullmatch(path.name)
                if name is None:
                    raise ValueError(f"{path} is no image of GenEval's: they are called 0000.png and so on")
                stem = image_stem(number, int(name[1]))
                if int(name[1]) >= self.samples or stem in found:
                    raise ValueError(
                        f"{path} is one image too many: --seeds is {self.samples} of each prompt"
                    )
                relative = path.relative_to(self.path).as_posix()
                found[stem] = ImageFile(relative, path.stat().st_size, str(path), path.read_bytes)
        return found

    def prepare(self) -> None:
        """Writes the prompts' metadata, too."""
        super().prepare()
        for i, prompt in enumerate(self.prompts):
            path = self.path / f"{i:05d}" / "metadata.jsonl"
            if not path.is_file():
                write_text(path, prompt.line + "\n")


def _check_metadata(path: Path, prompt: Prompt) -> None:
    try:
        metadata = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): take its folder away") from error
    if metadata is not None and metadata != json.loads(prompt.line):
        raise ValueError(
            f"{path} is of another prompt than {prompt.text!r}: give the prompts that were drawn here"
        )
