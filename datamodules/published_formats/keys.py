"""What the keys of a row, or columns of a table, hold: by the names that published sets use, in any case of letters."""

from collections.abc import Iterator, Mapping
from typing import Any

from common.images import has_image_extension

# The first of these that a row has is taken.
IMAGE = "image img images picture jpg jpeg png webp image_bytes image_data bytes".split()
IMAGE_PATH = """file_name filename image_file_name image_path img_path image_file image_name filepath file_path
    file path""".split()
SOURCE = """source_img source_image original_image input_image src_img src_image before_image before source input
    image_file input_img original_img""".split()
TARGET = """target_img target_image edited_image output_image edited_img tgt_img after_image after target output
    edited_file output_img""".split()
INSTRUCTION = """instruction edit_prompt edit_instruction editing_instruction editing_prompt instructions edit
    edited_prompt_list prompt text""".split()
CAPTION = """text texts txt prompt description descriptions sentence sentences comment raw sentence_raw alt_text
    alttext alt en""".split()
NO_CAPTION = "id ids url score scores len length lang language source model type".split()  # after "caption"
TEXT_KEYS = ("raw", "caption", "text")  # where an object holds a caption


def first_key(names: list[str], keys: Mapping[str, Any]) -> str | None:
    """The key that bears the first of these names that any does."""
    lower = {key.lower(): key for key in keys if isinstance(key, str)}
    return next((lower[name] for name in names if name in lower), None)


def image_key(row: Mapping[str, Any]) -> str | None:
    """The key of the image: one that holds it before one that names it."""
    given = {k: v for k, v in row.items() if v and isinstance(v, (str, bytes, dict, list))}
    return first_key(IMAGE + IMAGE_PATH, given)


def named_image(row: Any) -> str:
    """The path of a row's image; empty where it names none."""
    key = image_key(row) if isinstance(row, dict) else None
    value = row[key] if key else None
    value = value.get("path") if isinstance(value, dict) else value
    return value if isinstance(value, str) else ""


def is_caption(name: str) -> bool:
    """Whether a key is one for captions: of a known name, or "caption" with something before or after it."""
    name = name.lower()
    if name in CAPTION:
        return True
    return "caption" in name and name.replace("-", "_").rpartition("_")[2] not in NO_CAPTION


def caption_key(row: Mapping[str, Any], asked: str | None, where: str) -> str | None:
    """The key of a row's captions: the one asked for, else the only one that is known; None where there is none.

    Raises:
        ValueError: there are several.
    """
    if asked is not None:
        return asked if row.get(asked) not in (None, "", []) else None
    image = image_key(row)
    texts = (key for key, value in row.items() if isinstance(key, str) and _has_text(value))
    found = [key for key in texts if key != image and is_caption(key)]
    if len(found) > 1:
        raise ValueError(
            f"{where} has captions in {', '.join(found[:-1])} and {found[-1]}: choose with --caption {found[0]}"
        )
    return found[0] if found else None


def _has_text(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_has_text, value))
    if isinstance(value, dict):
        return any(isinstance(value.get(key), str) for key in TEXT_KEYS)
    return isinstance(value, str) and bool(value)


def captions(value: Any) -> Iterator[Any]:
    """Captions one by one, of a text, a list, or objects that hold them; what is none is given as it is."""
    if isinstance(value, list):
        for item in value:
            yield from captions(item)
    elif isinstance(value, dict):
        yield from captions(next((value[key] for key in TEXT_KEYS if key in value), None))
    else:
        yield value


def _names_image(value: Any) -> bool:
    return isinstance(value, str) and (has_image_extension(value) or value.startswith("data:"))


def edit_keys(row: Any, instruction: str | None) -> tuple[str, str, str] | None:
    """The keys of an edit: the image before, the instruction, the image after; None where one of them is missing.

    Columns that hold images come before those that name them, and texts that name none are no images: HQ-Edit has
    `input` and `output` as text beside `input_image` and `output_image`, and instructions without images have them too.
    """
    if not isinstance(row, Mapping):
        return None
    images = {k: v for k, v in row.items() if isinstance(v, (bytes, dict, list))}
    texts = {k: v for k, v in row.items() if isinstance(v, (str, list))}
    for pictures in (images, {k: v for k, v in row.items() if k in images or _names_image(v)}):
        before, after = first_key(SOURCE, pictures), first_key(TARGET, pictures)
        others = {k: v for k, v in texts.items() if k not in (before, after)}
        asked = (
            (instruction if instruction in others else None)
            if instruction
            else first_key(INSTRUCTION, others)
        )
        if before and after and asked:
            return before, asked, after
    return None
