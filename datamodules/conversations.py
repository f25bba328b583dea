"""Published forms of dialogues, read into parts of a document: by `datamodules.convert`, the doctor and training alike.

These are LLaVA's and ShareGPT's `conversations` (`from`, `value`), OpenAI's `messages` (`role`, `content`, which is
text or a list of parts), the Cauldron's `texts` (`user`, `assistant`), each also as a string of JSON, or as columns.

- Every `<image>` in a user's turn, and every part of type "image", is one image, in order. Images without any mark come
  first, as LLaVA puts them. A row with more or fewer marks than images is refused.
- `<image>` in an answer or in a system turn is text.
- A system turn opens the user's turn that follows it, on lines of its own: the sequence has no turn for it.
- Texts of one side that follow one another are lines of one text.

What a model cannot learn from is a ValueError, which up to its first colon is a kind: video, sound, tools, an answer that
is empty, images that are missing.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.document import Part, See, Text

IMAGE_MARK = "<image>"
ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "model", "bot", "chatgpt"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "tools", "tool_call", "tool_response", "tool_result", "ipython"), "tool"),
    **dict.fromkeys(("function", "function_call", "function_response", "observation"), "tool"),
}
TURNS = ("conversations", "messages", "conversation", "texts", "dialogue", "dialog")
IMAGES = ("image", "images", "image_path", "image_paths", "image_file", "image_files", "img")
UNSUPPORTED = {  # keys of a row, or the beginning of a part's type, by what they hold
    "a video": ("video", "videos", "video_path", "video_url", "input_video"),
    "a sound": ("audio", "audios", "audio_path", "audio_url", "input_audio", "sound", "speech"),
    "a file": ("file", "input_file"),
}
TEXT_TYPES = ("text", "input_text", "output_text", "")
# How others mark an image; `<image>` alone is read, for it alone is known to mean one image.
OTHER_MARKS = re.compile(
    r"<\|?image[_ -]?\d+\|?>|<ImageHere>|<image_placeholder>|<\|(?:image|image_pad|vision_start)\|>"
    r"|<img>[^<>\n]{1,300}</img>|\[IMG\]|<(?!image>)(?i:image|picture)s?>"
)
IN_ANSWER = "a conversation has an image in an answer: what is drawn is written as parts"
NO_TEXT = "a turn of a conversation is neither text nor a list of parts"
SHAPE = 'a conversation is of another shape: it is {"conversations": [{"from", "value"}, ...]} or {"messages": [...]}'


@dataclass(frozen=True)
class Slot:
    """An image of a turn; `source` names it where the turn itself does, `index` numbers it."""

    source: Any = None
    index: int | None = None


@dataclass(frozen=True)
class Turn:
    """One side's text and images, in order."""

    role: str
    pieces: tuple[str | Slot, ...]


@dataclass(frozen=True)
class Dialogue:
    """Turns, and the images that the row names beside them."""

    turns: tuple[Turn, ...]
    named: tuple[Any, ...] = ()

    @property
    def slots(self) -> list[Slot]:
        """The images, in order."""
        return [piece for turn in self.turns for piece in turn.pieces if isinstance(piece, Slot)]

    def sources(self) -> list[Any]:
        """The images as the row names them, in the order in which they are seen.

        Raises:
            ValueError: there are more or fewer than marks.
        """
        own = [slot.source for slot in self.slots if slot.source is not None]
        self._check(len(own) + len(self.named))
        named = iter(self.named)
        if not self.slots:
            return list(self.named)
        return [next(named) if slot.source is None else slot.source for slot in self.slots]

    def parts(self, images: Sequence[Any]) -> list[Part]:
        """Its document, with `images` in its `See`s, in this order.

        Raises:
            ValueError: there are more or fewer than the dialogue names, or than marks.
        """
        declared = len(self.named) + sum(slot.source is not None for slot in self.slots)
        if declared and declared != len(images):
            raise ValueError(
                f"a conversation names other images than there are: {declared}, of {len(images)}"
            )
        self._check(len(images))
        given = iter(images)
        parts: list[Part] = [] if self.slots else [See(image) for image in given]
        for turn in self.turns:
            for piece in turn.pieces:
                if isinstance(piece, Slot):
                    parts.append(See(next(given)))
                elif piece.strip():
                    _add_text(parts, piece.strip(), learn=turn.role == "assistant")
        return parts

    def _check(self, images: int) -> None:
        marks = len(self.slots)
        if marks == images:
            return
        answers = [p for t in self.turns if t.role == "assistant" for p in t.pieces if isinstance(p, str)]
        in_answers = sum(text.count(IMAGE_MARK) for text in answers)
        if images and in_answers and marks + in_answers >= images > marks:
            raise ValueError(IN_ANSWER)
        if marks:
            few = "more" if marks > images else "fewer"
            raise ValueError(f"a conversation has {few} image marks than images: {marks} for {images}")


def read_dialogue(row: Any) -> Dialogue:
    """Reads a row, or a list of turns alone.

    Raises:
        ValueError: it is no dialogue, or none that this project can learn from.
    """
    turns, row = (row, {}) if isinstance(row, list) else (_turns(row), row)
    for what in ("a video", "a sound"):
        if any(row.get(key) for key in UNSUPPORTED[what]):
            raise ValueError(f"a conversation needs {what}")
    if row.get("tools") and row["tools"] != "[]":
        raise ValueError("a conversation has tools")
    opening = [{"role": "system", "content": row["system"]}] if isinstance(row.get("system"), str) else []
    read = tuple(turn for given in [*opening, *_list_turns(turns)] if (turn := _turn(given)) is not None)
    roles = [turn.role for turn in read if turn.role != "system"]
    if "assistant" not in roles:
        raise ValueError("a conversation has no answer")
    if roles[0] == "assistant":
        raise ValueError("a conversation begins with an answer")
    dialogue = Dialogue(read, tuple(_images(row)))
    numbers = [slot.index for slot in dialogue.slots]
    if any(n is not None for n in numbers) and numbers != list(range(len(numbers))):
        raise ValueError("a conversation's images are not in the order of their numbers")
    if not dialogue.slots and any(
        isinstance(p, str) and OTHER_MARKS.search(p) for t in read if t.role == "user" for p in t.pieces
    ):
        raise ValueError(f"a conversation has other image marks than {IMAGE_MARK}")
    return dialogue


def has_dialogue(row: Any) -> bool:
    """Whether a row has turns under one of TURNS."""
    return isinstance(row, Mapping) and any(row.get(key) for key in TURNS)


def _turns(row: Any) -> Any:
    if not isinstance(row, Mapping):
        raise ValueError(SHAPE)
    turns = next((row[key] for key in TURNS if row.get(key)), None)
    if turns is None:
        raise ValueError("a row has no conversations")
    return turns


def _list_turns(turns: Any) -> list[Mapping[str, Any]]:
    """Turns one by one: of a string of JSON, of columns, of pairs of a user's and an assistant's text."""
    if isinstance(turns, str):
        try:
            turns = json.loads(turns)
        except (ValueError, RecursionError) as error:
            raise ValueError(SHAPE) from error
    if isinstance(turns, Mapping) and all(isinstance(column, list) for column in turns.values()):
        if len({len(column) for column in turns.values()}) > 1:
            raise ValueError("a conversation's columns are not of one length")
        columns = zip(*turns.values(), strict=True)  # as datasets lays a list of objects
        turns = [dict(zip(turns, values, strict=True)) for values in columns]
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, Mapping) for turn in turns):
        raise ValueError(SHAPE)
    listed = []
    for turn in turns:
        if "user" in turn and "assistant" in turn and "role" not in turn and "from" not in turn:
            listed += [{"role": side, "content": turn[side]} for side in ("user", "assistant")]
        else:
            listed.append(turn)
    return listed


def _turn(turn: Mapping[str, Any]) -> Turn | None:
    """One turn; None for a system's that is empty."""
    given = turn.get("from") or turn.get("role")
    role = ROLES.get(given.lower().strip()) if isinstance(given, str) else None
    if role is None:
        raise ValueError(f"a conversation has a turn of an unknown role: {str(given)[:40]!r}")
    if role == "tool" or turn.get("tool_calls") or turn.get("function_call"):
        raise ValueError("a conversation has tool turns")
    if turn.get("weight") == 0:
        raise ValueError("a conversation has a turn of weight 0")
    if "value" not in turn and "content" not in turn:
        raise ValueError("a turn of a conversation has neither value nor content")
    content = turn.get("value")
    pieces = _pieces(turn.get("content") if content is None else content, role)
    if any(piece if isinstance(piece, Slot) else piece.strip() for piece in pieces):
        return Turn(role, tuple(pieces))
    if role == "system":
        return None
    raise ValueError("an answer is empty" if role == "assistant" else "a question is empty")


def _pieces(content: Any, role: str) -> list[str | Slot]:
    if isinstance(content, Mapping):
        content = [content]
    if content is None:
        return []
    if not isinstance(content, (str, list)):
        raise ValueError(NO_TEXT)
    pieces: list[str | Slot] = []
    for part in [content] if isinstance(content, str) else content:
        if isinstance(part, Mapping) and not _is_text(part):
            pieces.append(_slot(part))
            continue
        text = part.get("text") if isinstance(part, Mapping) else part
        pieces += _split_marks(_check_text(text), role)
    if role != "user" and any(isinstance(piece, Slot) for piece in pieces):
        raise ValueError(IN_ANSWER)
    return pieces


def _is_text(part: Mapping[str, Any]) -> bool:
    """Whether a part is one of text, by its type before its keys: tables give every part all of them."""
    kind = part.get("type")
    return isinstance(part.get("text"), str) and (not isinstance(kind, str) or kind in TEXT_TYPES)


def _check_text(text: Any) -> str:
    if not isinstance(text, str):
        raise ValueError(NO_TEXT)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("a text holds half of a character") from error
    return text


def _split_marks(text: str, role: str) -> list[str | Slot]:
    """A text with its marks as slots, where it is of the user's turn."""
    if role != "user":
        return [text]
    for name, what in (("video", "a video"), ("audio", "a sound"), ("speech", "a sound")):
        if text.strip().startswith(f"<{name}>") or text.strip().endswith(f"<{name}>"):
            raise ValueError(f"a conversation needs {what}")
    pieces: list[str | Slot] = []
    for number, piece in enumerate(text.split(IMAGE_MARK)):
        pieces += [Slot(), piece] if number else [piece]
    return pieces


def _slot(part: Mapping[str, Any]) -> Slot:
    """The image of a part: named in it, or left to those beside the turns."""
    kind = str(part.get("type") or next(iter(part), ""))
    for what, kinds in UNSUPPORTED.items():
        if kind.startswith(kinds):
            raise ValueError(f"a conversation needs {what}")
    if not kind.startswith(("image", "input_image", "img")):
        raise ValueError(f"a conversation has a part of an unknown type: {kind[:40]!r}")
    source = next(
        (part[key] for key in ("image", "image_url", "url", "path", "source") if part.get(key)), None
    )
    if isinstance(source, Mapping):  # OpenAI's {"url": ...}; Anthropic's {"type": "base64", "data": ...}
        source = source.get("url") or source.get("data") or dict(source)
    index = part.get("index")
    return Slot(source, index if isinstance(index, int) else None)


def _images(row: Mapping[str, Any]) -> list[Any]:
    """The images that a row names, one name or many."""
    found = [row[key] if isinstance(row[key], list) else [row[key]] for key in IMAGES if row.get(key)]
    if any(images != found[0] for images in found):
        raise ValueError("a row names its images twice, and not alike")
    return found[0] if found else []


def _add_text(parts: list[Part], text: str, learn: bool) -> None:
    last = parts[-1] if parts else None
    if isinstance(last, Text) and last.learn == learn:
        parts[-1] = Text(f"{last.text}\n{text}", learn)
    else:
        parts.append(Text(text, learn))
