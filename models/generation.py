"""Default settings of drawing, editing and writing: `generation` in the illume.json of a model folder.

A config sets them (`model.init_args.generation`), later stages inherit them, and every command and callback lays its own
over them. A folder without them has the playground's.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from common.json_files import read_object
from models.component_config import check_keys, check_mapping, override_fields
from models.folder_hash import MANIFEST

TOKEN_LIMIT = 65536
RANGES = {  # of each sampling setting: its description, and a test
    "cfg": ("from 0 to 100, 1 is no guidance", lambda value: 0 <= value <= 100),
    "temperature": ("from 0 to 10, 0 takes the likeliest", lambda value: 0 <= value <= 10),
    "top_k": ("a whole number from 0, which leaves all codes", lambda value: value >= 0),
    "top_p": ("above 0 and at most 1, which leaves all codes", lambda value: 0 < value <= 1),
}
WHOLE = ("top_k",)  # settings that are whole numbers


def check_setting(name: str, value: Any, where: str = "") -> Any:
    """Returns a sampling setting in its range; ValueError calls another by `where`, or else by its name."""
    description, in_range = RANGES[name]
    is_number = isinstance(value, int if name in WHOLE else (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not in_range(value):
        raise ValueError(f"{where or name} {value!r} is out of range: {description}")
    return value


def check_top_k(top_k: int, codes: int, where: str = "") -> None:
    """Raises ValueError where a top-k leaves more codes than a model has: who asks for it means another model."""
    if top_k > codes:
        raise ValueError(f"{where}top_k {top_k} is out of range: this model has {codes} codes, 0 leaves all")


@dataclass(frozen=True)
class SamplingConfig:
    """How the codes of an image are sampled. None leaves a setting to the model (`generation` in its illume.json).

    Args:
        cfg: scale of classifier-free guidance; 1 is none.
        temperature: of the softmax; 0 is greedy.
        top_k: samples among this many of the likeliest codes; 0 keeps all.
        top_p: samples among the likeliest codes that together have this probability; 1 keeps all.
    """

    cfg: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.given.items():
            check_setting(name, value)

    @property
    def given(self) -> dict[str, Any]:
        """The settings that are not None, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def override(self, given: "SamplingConfig | None") -> "SamplingConfig":
        """These settings with those of another laid over them, where it has any."""
        return self if given is None else replace(self, **given.given)

    def __str__(self) -> str:
        """In one line: "cfg 2, temperature 1, top_k 2048, top_p 1"."""
        return ", ".join(f"{name} {value:g}" for name, value in self.given.items())


NEUTRAL = SamplingConfig(1.0, 1.0, 0, 1.0)  # the model's distribution as it is


@dataclass(frozen=True)
class TokenLimits:
    """The most tokens of a text that the model writes."""

    answer: int = 16  # to a question about an image
    describe: int = 64
    assess: int = 256
    chat: int = 96  # one text of a conversation

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) is not int or not 1 <= value <= TOKEN_LIMIT:
                raise ValueError(
                    f"{name} {value!r} is out of range: a whole number of tokens from 1 to {TOKEN_LIMIT}"
                )


@dataclass(frozen=True)
class Generation:
    """A model's settings by task; the defaults are the playground's."""

    draw: SamplingConfig = SamplingConfig(1.25, 0.6, 0, 1.0)  # also what is drawn again after its assessment
    edit: SamplingConfig = SamplingConfig(1.0, 0.3, 0, 1.0)
    chat: SamplingConfig = SamplingConfig(1.0, 0.7, 0, 1.0)  # images in a conversation
    max_new_tokens: TokenLimits = TokenLimits()  # texts are written greedily

    def override(self, given: Mapping[str, Any] | None, where: str = "generation") -> "Generation":
        """These settings with a config's laid over them: `{draw: {cfg: 2.0}, max_new_tokens: {answer: 256}}`."""
        if given is None:
            return self
        generation = self
        for key, settings in check_mapping(given, where).items():
            name, dot, setting = key.partition(".")  # "draw.cfg", as a command line gives it
            check_keys([name], asdict(self), where)
            settings = {setting: settings} if dot else settings
            changed = override_fields(getattr(generation, name), settings, f"{where}.{name}")
            generation = replace(generation, **{name: changed})
        return generation

    def for_codes(self, codes: int) -> "Generation":
        """These settings for a codebook of this size: a top-k above it becomes 0, which leaves all as well."""
        tasks = {name: getattr(self, name) for name in ("draw", "edit", "chat")}
        small = {name: replace(own, top_k=0) for name, own in tasks.items() if (own.top_k or 0) > codes}
        return replace(self, **small)

    def to_dict(self) -> dict[str, Any]:
        """As illume.json holds it."""
        return asdict(self)


PLAYGROUND = Generation()


def missing_model_folder(folder: Path) -> FileNotFoundError:
    """The error for a folder without illume.json, with where it is in a run's folder."""
    inside = folder / "model"
    hint = f": it is a run, and its model folder is {inside}" if (inside / MANIFEST).is_file() else ""
    return FileNotFoundError(f"{folder} is not a model folder: there is no {MANIFEST} in it{hint}")


def read_generation(folder: str | PathLike[str]) -> Generation:
    """The settings of a model folder, without loading the model; ValueError names the file where one is wrong."""
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise missing_model_folder(Path(folder))
    return PLAYGROUND.override(read_object(path).get("generation"), f"{path}: generation")
