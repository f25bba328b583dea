"""The prompt of each task, and the null prompts of classifier-free guidance: settings of the model folder.

What a model is asked must be what it was asked in training, so the prompts are the model's own: `prompts` in the
illume.json of its folder, set by a config (`model.init_args.prompts`), inherited by later stages, and used by training,
drawing, evaluation and self-enhancement alike.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from common.checks import check_choice
from models.component_config import override_fields

PLACEHOLDERS = {"draw": "caption", "edit": "instruction", "assess": "caption", "redraw": "caption"}


@dataclass(frozen=True)
class Prompts:
    """One sentence a task; the defaults are the playground's, short, as its text tokenizer has few pieces."""

    draw: str = "draw : {caption}"
    draw_null: str = "draw a random image"
    describe: str = "describe the image"
    detail: str = "describe the image in detail"  # object by object
    edit: str = "edit the image : {instruction}"
    reconstruct: str = "reconstruct the image"  # stage 1's task, and the null prompt of editing (ILLUME+)
    assess: str = "does the image show : {caption} ?"  # self-enhancement's first turn
    redraw: str = "draw it again : {caption}"  # and its second

    def __post_init__(self) -> None:
        for name, text in asdict(self).items():
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"{name} must be some words, not {text!r}")
            own = PLACEHOLDERS.get(name)
            if own is not None and text.count("{" + own + "}") != 1:
                raise ValueError(f"{name} {text!r} must hold {{{own}}} once, where the words are filled in")
            if strange := [p for p in PLACEHOLDERS.values() if p != own and "{" + p + "}" in text]:
                raise ValueError(f"{name} {text!r} holds {{{strange[0]}}}, which nothing fills in")

    def fill(self, name: str, text: str) -> str:
        """A prompt with a text in its place; braces in the text stay text."""
        return getattr(self, name).replace("{" + PLACEHOLDERS[name] + "}", text)

    def to_dict(self) -> dict[str, str]:
        """As illume.json holds them."""
        return asdict(self)

    @property
    def texts(self) -> list[str]:
        """All of them, for training a text tokenizer."""
        return list(asdict(self).values())


PLAYGROUND = Prompts()
# Wording of ILLUME+'s released demo, for drawing, editing and their null prompts, without its tags of resolution, which
# this model has none of. ILLUME prints no prompts; those for seeing, assessing and drawing again are assumed.
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
    """The prompts that a config gives: one of SETS by its name, or prompts by task laid over `own`."""
    if isinstance(given, str):
        return SETS[check_choice(given, SETS, f"{where}: the set of prompts")]
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(f"{where} must be one of {', '.join(SETS)}, or 'task: words' lines, not {given!r}")
    return override_fields(own, given or {}, where)
