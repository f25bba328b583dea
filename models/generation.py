"""How a model draws, edits and writes where nobody says otherwise: `generation` in the illume.json of its folder.

A recipe sets it (`model.init_args.generation`), later stages inherit it, and every command and callback takes overrides.
A folder without it is generated from as the playground's model is.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from common.json_files import read_object
from models.component_config import check_keys

CFG_LIMIT, TEMPERATURE_LIMIT, TOKEN_LIMIT = 100.0, 10.0, 65536
ENDS = "from 0 to {:g}"
RANGES = {  # of one number, in words and as a test
    "cfg": (f"{ENDS.format(CFG_LIMIT)}, 1 is no guidance", lambda value: 0 <= value <= CFG_LIMIT),
    "temperature": (
        f"{ENDS.format(TEMPERATURE_LIMIT)}, 0 takes the likeliest",
        lambda value: 0 <= value <= TEMPERATURE_LIMIT,
    ),
    "top_k": ("a whole number from 0, which leaves all codes", lambda value: value >= 0),
    "top_p": ("above 0 and at most 1, which leaves all codes", lambda value: 0 < value <= 1),
}
WHOLE = ("top_k",)


def check_setting(name: str, value: Any, where: str = "") -> Any:
    """One sampling setting, if it is in range.

    Args:
        name: cfg, temperature, top_k or top_p.
        value: of it.
        where: what the message calls it; its name if not given.

    Raises:
        ValueError: it is no number, or out of range; one line that names both.
    """
    told, in_range = RANGES[name]
    kinds = int if name in WHOLE else (int, float)
    right = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    if not right or not in_range(value):
        raise ValueError(f"{where or name} {value!r} is out of range: {told}")
    return value


def check_top_k(top_k: int, codes: int, where: str = "") -> None:
    """Makes sure that a model has as many codes as a top-k leaves: who asks for more means another model.

    Raises:
        ValueError: it has fewer.
    """
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

    Raises:
        ValueError: one is out of range.
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
    """The most tokens of a text that the model writes.

    Args:
        answer: to a question about an image.
        describe: an image.
        assess: how well an image shows a prompt.
        chat: one text of a conversation.

    Raises:
        ValueError: one is no whole number, or out of range.
    """

    answer: int = 16
    describe: int = 64
    assess: int = 256
    chat: int = 96

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) is not int or not 1 <= value <= TOKEN_LIMIT:
                raise ValueError(
                    f"{name} {value!r} is out of range: a whole number of tokens from 1 to {TOKEN_LIMIT}"
                )


@dataclass(frozen=True)
class Generation:
    """All of it; what is not said is the playground's.

    Args:
        draw: images of prompts, and what is drawn again after its assessment.
        edit: images by instructions.
        chat: images in a conversation.
        max_new_tokens: of texts, which are written greedily.
    """

    draw: SamplingConfig = SamplingConfig(1.25, 0.6, 0, 1.0)
    edit: SamplingConfig = SamplingConfig(1.0, 0.3, 0, 1.0)
    chat: SamplingConfig = SamplingConfig(1.0, 0.7, 0, 1.0)
    max_new_tokens: TokenLimits = field(default_factory=TokenLimits)

    def override(self, given: Mapping[str, Any] | None, where: str = "generation") -> "Generation":
        """The same, but for what a config says: `{draw: {cfg: 2.0}, max_new_tokens: {answer: 256}}`.

        Args:
            given: settings by what they are of; None: none.
            where: what messages call it.

        Raises:
            ValueError: a key is not known, or a value is out of range; one line that names it.
        """
        if given is None:
            return self
        if not isinstance(given, Mapping):
            raise ValueError(f"{where} must hold 'key: value' lines, not {given!r}")
        made = self
        for key, settings in given.items():
            name, dot, setting = key.partition(".")  # "draw.cfg", as a command line gives it
            made = made._with(name, {setting: settings} if dot else settings, where)
        return made

    def _with(self, name: str, settings: Any, where: str) -> "Generation":
        check_keys({name: settings}, [one.name for one in fields(self)], where)
        own, here = getattr(self, name), f"{where}.{name}"
        if not isinstance(settings, Mapping):
            raise ValueError(f"{here} must hold 'key: value' lines, not {settings!r}")
        check_keys(settings, [one.name for one in fields(own)], here)
        try:
            if isinstance(own, SamplingConfig):
                return replace(self, **{name: own.override(SamplingConfig(**settings))})
            return replace(self, **{name: replace(own, **settings)})
        except ValueError as error:
            raise ValueError(f"{here}.{error}") from error

    def for_codes(self, codes: int) -> "Generation":
        """The same, but a top-k of more codes than there are is 0, which leaves all as well."""
        tasks = {name: getattr(self, name) for name in ("draw", "edit", "chat")}
        return replace(
            self, **{name: replace(one, top_k=0) for name, one in tasks.items() if one.top_k > codes}
        )

    def to_dict(self) -> dict[str, Any]:
        """As illume.json holds it."""
        return asdict(self)


PLAYGROUND = Generation()


def missing_model_folder(folder: Path) -> FileNotFoundError:
    """The error for a folder without illume.json, with where it is in a run's folder."""
    inside = folder / "model"
    hint = f": it is a run, and its model folder is {inside}" if (inside / "illume.json").is_file() else ""
    return FileNotFoundError(f"{folder} is not a model folder: there is no illume.json in it{hint}")


def read_generation(folder: str | Path) -> Generation:
    """That of a model folder, without loading the model.

    Raises:
        FileNotFoundError: the folder is no model's.
        ValueError: it is no JSON object, or a setting is not known or out of range; the message names the file.
    """
    path = Path(folder) / "illume.json"
    if not path.is_file():
        raise missing_model_folder(Path(folder))
    top = read_object(path)
    return PLAYGROUND.override(top.get("generation"), f"{path}: generation")


def overrides(who: str, **given: Any) -> dict[str, Any]:
    """Of sampling settings those that are given, each in its range; None is not given.

    Args:
        who: takes them, for messages.
        given: cfg, temperature, top_k, top_p.

    Raises:
        ValueError: one is out of range.
    """
    return {
        name: check_setting(name, value, f"{who}: {name}")
        for name, value in given.items()
        if value is not None
    }
