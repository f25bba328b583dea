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
    "user": ("human", "user"),
    "assistant": ("gpt", "assistant", "model", "bot", "chatgpt"),
    "system": ("system", "developer"),
    "tool": """tool tools tool_call tool_response tool_result ipython function function_call function_response
        observation""".split(),
}
ROLE_OF = {name: role for role, names in ROLES.items() for name in names}
TURNS = ("conversations", "messages", "conversation", "texts", "dialogue", "dialog")
IMAGES = ("image", "images", "image_path", "image_paths", "image_file", "image_files", "img")
IMAGE_SOURCES = ("image", "image_url", "url", "path", "source")  # keys of a part that is an image
UNSUPPORTED = {  # keys of a row, or the beginning of a part's type
    "a video": ("video", "videos", "video_path", "video_url", "input_video"),
    "a sound": ("audio", "audios", "audio_path", "audio_url", "input_audio", "sound", "speech"),
    "a file": ("file", "input_file"),
}
UNSUPPORTED_MARKS = {"<video>": "a video", "<audio>": "a sound", "<speech>": "a sound"}
TEXT_TYPES = ("text", "input_text", "output_text", "")
# Other image marks; `<image>` alone is read, for it alone is known to mean one image.
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

    @property
    def text(self) -> list[str]:
        """Its pieces of text."""
        return [piece for piece in self.pieces if isinstance(piece, str)]


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
        self._check(self._declared())
        named = iter(self.named)
        if not self.slots:
            return list(named)
        return [next(named) if slot.source is None else slot.source for slot in self.slots]

    def parts(self, images: Sequence[Any]) -> list[Part]:
        """Its document, with `images` in its `See`s, in this order.

        Raises:
            ValueError: there are more or fewer than the dialogue names, or than marks.
        """
        if (declared := self._declared()) not in (0, len(images)):
            raise ValueError(f"a conversation names other images than there are: {declared} of {len(images)}")
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

    def _declared(self) -> int:
        return len(self.named) + sum(slot.source is not None for slot in self.slots)

    def _check(self, images: int) -> None:
        marks = len(self.slots)
        answers = [text for turn in self.turns if turn.role == "assistant" for text in turn.text]
        in_answers = sum(text.count(IMAGE_MARK) for text in answers)
        if in_answers and marks + in_answers >= images > marks:
            raise ValueError(IN_ANSWER)
        if marks not in (0, images):
            few = "more" if marks > images else "fewer"
            raise ValueError(f"a conversation has {few} image marks than images: {marks} for {images}")


def read_dialogue(row: Any) -> Dialogue:
    """Reads a row, or a list of turns alone.

    Raises:
        ValueError: it is no dialogue, or none that this project can learn from.
    """
    if isinstance(row, list):
        turns, row = row, {}
    elif not isinstance(row, Mapping):
        raise ValueError(SHAPE)
    elif not has_dialogue(row):
        raise ValueError("a row has no conversations")
    else:
        turns = next(row[key] for key in TURNS if row.get(key))
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
    asked = [text for turn in read if turn.role == "user" for text in turn.text]
    if not dialogue.slots and any(map(OTHER_MARKS.search, asked)):
        raise ValueError(f"a conversation has other image marks than {IMAGE_MARK}")
    return dialogue


def has_dialogue(row: Any) -> bool:
    """Whether a row has turns under one of TURNS."""
    return isinstance(row, Mapping) and any(row.get(key) for key in TURNS)


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
        # as datasets lays a list of objects
        turns = [dict(zip(turns, values, strict=True)) for values in zip(*turns.values(), strict=True)]
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, Mapping) for turn in turns):
        raise ValueError(SHAPE)
    listed: list[Mapping[str, Any]] = []
    for turn in turns:
        if "user" in turn and "assistant" in turn and "role" not in turn and "from" not in turn:
            listed += [{"role": side, "content": turn[side]} for side in ("user", "assistant")]
        else:
            listed.append(turn)
    return listed


def _turn(turn: Mapping[str, Any]) -> Turn | None:
    """One turn; None for a system's that is empty."""
    given = turn.get("from") or turn.get("role")
    role = ROLE_OF.get(given.lower().strip()) if isinstance(given, str) else None
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
    if any(isinstance(piece, Slot) or piece.strip() for piece in pieces):
        return Turn(role, tuple(pieces))
    if role != "system":
        raise ValueError("an answer is empty" if role == "assistant" else "a question is empty")
    return None


def _pieces(content: Any, role: str) -> list[str | Slot]:
    pieces: list[str | Slot] = []
    for part in content if isinstance(content, list) else [] if content is None else [content]:
        if isinstance(part, Mapping) and not _is_text(part):
            pieces.append(_slot(part))
        else:
            pieces += _split_marks(part["text"] if isinstance(part, Mapping) else part, role)
    if role != "user" and any(isinstance(piece, Slot) for piece in pieces):
        raise ValueError(IN_ANSWER)
    return pieces


def _is_text(part: Mapping[str, Any]) -> bool:
    """Whether a part is one of text, by its type before its keys: tables give every part all of them."""
    kind = part.get("type")
    return isinstance(part.get("text"), str) and (not isinstance(kind, str) or kind in TEXT_TYPES)


def _split_marks(text: Any, role: str) -> list[str | Slot]:
    """A text with its marks as slots, where it is of the user's turn."""
    if not isinstance(text, str):
        raise ValueError(NO_TEXT)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("a text holds half of a character") from error
    if role != "user":
        return [text]
    for mark, what in UNSUPPORTED_MARKS.items():
        if text.strip().startswith(mark) or text.strip().endswith(mark):
            raise ValueError(f"a conversation needs {what}")
    first, *others = text.split(IMAGE_MARK)
    return [first, *(piece for other in others for piece in (Slot(), other))]


def _slot(part: Mapping[str, Any]) -> Slot:
    """The image of a part: named in it, or left to those beside the turns."""
    kind = str(part.get("type") or next(iter(part), ""))
    for what, kinds in UNSUPPORTED.items():
        if kind.startswith(kinds):
            raise ValueError(f"a conversation needs {what}")
    if not kind.startswith(("image", "input_image", "img")):
        raise ValueError(f"a conversation has a part of an unknown type: {kind[:40]!r}")
    source = next((part[key] for key in IMAGE_SOURCES if part.get(key)), None)
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
