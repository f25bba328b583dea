"""The words of each task, and the null prompts that guidance is away from: a setting of the model folder.

What a model is asked must be what it was asked in training, so the words are the model's own: `prompts` in the
illume.json of its folder, set by a recipe (`model.init_args.prompts`), inherited by later stages, and used by training,
drawing, evaluation and self-enhancement alike.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from common.checks import suggest
from models.component_config import check_keys

PLACEHOLDERS = {
    "draw": "caption",
    "edit": "instruction",
    "assess": "caption",
    "redraw": "caption",
}  # what is filled in


@dataclass(frozen=True)
class Prompts:
    """One sentence a task; by default the playground's, short, as its text tokenizer has few pieces.

    Args:
        draw: text to image, with `{caption}`.
        draw_null: its null prompt, which guidance takes in place of it.
        describe: captioning.
        detail: captioning object by object.
        edit: with `{instruction}`.
        reconstruct: to draw what is seen: stage 1's task, and the null prompt of editing (ILLUME+).
        assess: self-enhancement's first turn, with `{caption}`.
        redraw: its second, with `{caption}`.

    Raises:
        ValueError: one is empty, or lacks what is filled in.
    """

    draw: str = "draw : {caption}"
    draw_null: str = "draw a random image"
    describe: str = "describe the image"
    detail: str = "describe the image in detail"
    edit: str = "edit the image : {instruction}"
    reconstruct: str = "reconstruct the image"
    assess: str = "does the image show : {caption} ?"
    redraw: str = "draw it again : {caption}"

    def __post_init__(self) -> None:
        for name, text in asdict(self).items():
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"{name} must be some words, not {text!r}")
            place = PLACEHOLDERS.get(name)
            if place is not None and text.count("{" + place + "}") != 1:
                raise ValueError(f"{name} {text!r} must hold {{{place}}} once, where the words are filled in")
            for other in set(PLACEHOLDERS.values()) - {place}:
                if "{" + other + "}" in text:
                    raise ValueError(f"{name} {text!r} holds {{{other}}}, which nothing fills in")

    def fill(self, name: str, words: str) -> str:
        """A prompt with the words in it, by replacement: braces in the words stay text."""
        return getattr(self, name).replace("{" + PLACEHOLDERS[name] + "}", words)

    def to_dict(self) -> dict[str, str]:
        """As illume.json holds them."""
        return asdict(self)

    @property
    def texts(self) -> list[str]:
        """All of them, as a text tokenizer made from scratch reads them."""
        return list(asdict(self).values())


PLAYGROUND = Prompts()
# Wording of ILLUME+'s released demo, for drawing, editing and their null prompts, without its tags of resolution, which
# this model has none of. ILLUME prints no prompts; the words for seeing, assessing and drawing again are assumed.
ILLUME_PLUS = Prompts(
    draw="Generate an image, the content of image is {caption}",
    draw_null="Generate a random image",
    describe="Describe the image.",
    detail="Describe the image in detail.",
    edit="Please edit the image according to the instruction: {instruction}",
    reconstruct="Reconstruct the image according to the given image",
    assess="Does the image show the following content: {caption}",
    redraw="Generate the image again, the content of image is {caption}",
)
SETS = {"playground": PLAYGROUND, "illume_plus": ILLUME_PLUS}


def read_prompts(
    given: str | Mapping[str, Any] | None, own: Prompts = PLAYGROUND, where: str = "prompts"
) -> Prompts:
    """The prompts that a config names or spells out.

    Args:
        given: a set's name, or prompts by task, laid over `own`; None: `own`.
        own: those that are there already.
        where: what messages call it.

    Raises:
        ValueError: there is no such set or task, or a prompt is empty or lacks what is filled in.
    """
    if given is None:
        return own
    if isinstance(given, str):
        if given not in SETS:
            raise ValueError(f"{where}: there is no set of prompts {given!r}: {suggest(given, SETS)}")
        return SETS[given]
    if not isinstance(given, Mapping):
        raise ValueError(f"{where} must be one of {', '.join(SETS)}, or 'task: words' lines, not {given!r}")
    check_keys(given, [one.name for one in fields(own)], where)
    try:
        return replace(own, **given)
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from error
