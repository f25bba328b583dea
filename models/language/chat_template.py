"""Chat templates: the turns that a published one opens and closes, and the one of an exported model.

In training every piece of a dialogue becomes ids by itself (`models/sequence.py`); a template is one text, in which
pieces meet. Whether two of them meet with a space between is tried out, and all of it is held against training's ids.
"""

import json
import re
from collections.abc import Sequence
from os.path import commonprefix
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from models.language.stop_ids import special_ids
from models.language.template_render import TODAY, render_template
from models.turns import Turns

# Vicuna v1.1's, which its published tokenizer does not hold (FastChat's conversation template).
VICUNA = (
    "{{ bos_token }}{{ 'A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user\\'s questions. ' }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'USER: ' + message['content'] + ' ' }}"
    "{% else %}{{ 'ASSISTANT: ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
EXPORTED = (
    "{{ BEGIN }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ ANSWER + message['content'] + END }}"
    "{% elif loop.first %}{{ FIRST + message['content'] }}"
    "{% elif loop.previtem['role'] == 'assistant' %}{{ NEXT + message['content'] }}"
    "{% else %}{{ MORE + message['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ PROMPT }}{% endif %}"
)
MESSAGES = ("describe the image", "Is it red?", "a cat", "2 dogs, blue.")  # by which a template is tried out
MARKERS = tuple(f"Zq{name}zQ" for name in ("one", "two", "three", "four"))  # messages that no template writes


def read_template_turns(tokenizer: PreTrainedTokenizerBase, source: str, today: str = TODAY) -> Turns:
    """The turns of a tokenizer's chat template: it lays out four messages, and we look between them.

    Raises:
        ValueError: it has no chat template, or one that does not render, or whose turns are not alike, or end in what
            an answer may hold.
    """
    if not tokenizer.chat_template:
        raise ValueError(
            f"the tokenizer of {source} has no chat template: set `turns` to vicuna, if it is one, "
            "or to own, for special tokens of our own"
        )
    tokens = {name: own for name, own in tokenizer.special_tokens_map.items() if isinstance(own, str)}
    text = render_template(tokenizer.chat_template, _dialogue(MARKERS), tokens, source, today)
    between = []
    for marker in MARKERS:
        before, found, text = text.partition(marker)
        if not found:
            raise ValueError(f"the chat template of {source} leaves out messages: set `turns` to own")
        between.append(before.strip(" "))  # pieces of text bring a space of their own, where they have one
    first, to_answer, to_user, _, last = *between, text.strip(" ")
    end = _common_beginning(to_user, last, tokenizer)
    user = to_user[len(end) :].strip(" ")
    if not end or not to_answer or not first.endswith(user):
        raise ValueError(
            f"the chat template of {source} does not open and close all turns alike: set `turns` to own"
        )
    pieces = (first.removesuffix(user).strip(" "), user, to_answer, end)
    turns = Turns(*(tuple(_ids(tokenizer, piece, special=True)) for piece in pieces))
    if turns.stop not in special_ids(tokenizer):
        raise ValueError(
            f"the chat template of {source} ends an answer with {end[:40]!r}, which its tokenizer reads as words, so "
            "that an answer would stop within one: set `turns` to own"
        )
    return turns


def _common_beginning(one: str, other: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """The longest text, in whole tokens, with which both begin: an answer's end, whether or not a message follows."""
    whole = [_ids(tokenizer, text, special=True) for text in (one, other)]
    for length in range(len(commonprefix([one, other])), 0, -1):
        ids = _ids(tokenizer, one[:length], special=True)
        if all(own[: len(ids)] == ids for own in whole):
            return one[:length].rstrip(" ")
    return ""


class Piece(NamedTuple):
    """Of a dialogue."""

    text: str
    ids: list[int]


def chat_template(tokenizer: PreTrainedTokenizerBase, turns: Turns) -> str:
    """A jinja template for `apply_chat_template`, whose ids are those of training.

    Raises:
        ValueError: however pieces meet, the tokenizer joins some that training keeps apart.
    """
    begin, user, assistant, end = (Piece(_text(tokenizer, ids), ids) for ids in turns.to_dict().values())
    message, second = (Piece(text, _ids(tokenizer, text)) for text in MESSAGES[:2])

    def join(one: Piece, other: Piece) -> str:
        """The text between two pieces with which their ids follow each other; none, where neither does it."""
        for glue in ("", " ") if one.text and other.text else ():
            if _ids(tokenizer, one.text + glue + other.text, special=True) == [*one.ids, *other.ids]:
                return glue
        return ""

    to_user, to_answer = user.text + join(user, message), join(message, assistant) + assistant.text
    literals = {
        "BEGIN": begin.text,
        "ANSWER": to_answer + join(assistant, message),
        "END": join(message, end) + end.text,
        "FIRST": join(begin, user) + to_user,
        "NEXT": join(end, user) + to_user,
        "MORE": join(message, second),
        "PROMPT": to_answer,
    }
    template = re.sub("[A-Z]+", lambda name: json.dumps(literals[name[0]], ensure_ascii=False), EXPORTED)
    for count in range(1, len(MESSAGES) + 1):
        found: Any = tokenizer.apply_chat_template(
            _dialogue(MESSAGES[:count]),
            chat_template=template,
            add_generation_prompt=bool(count % 2),
            return_dict=False,
        )
        wanted = turns.lay_out([_ids(tokenizer, text) for text in MESSAGES[:count]])
        if list(found) != wanted:
            raise ValueError(
                "no chat template of one text gives the ids this model was trained on, for its tokenizer joins "
                f"what training keeps apart: {tokenizer.decode(found)!r:.120} is not {tokenizer.decode(wanted)!r:.120}"
            )
    return template


def _dialogue(messages: Sequence[str]) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(messages)]


def _ids(tokenizer: PreTrainedTokenizerBase, text: str, special: bool = False) -> list[int]:
    """With the template's own special tokens read as such, or as text."""
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=not special)
    return encoded["input_ids"] if text else []


def _text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)) if ids else ""
