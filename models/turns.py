"""How turns of a talk are opened and closed: by special tokens of our own, or as a model's chat template does it.

A model made from nothing uses our own tokens. One that was taught to chat keeps its template, so that what it knows is
met where it learned it; images are opened and closed by our tokens in both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os.path import commonprefix

from transformers import PreTrainedTokenizerBase

from models.language.ends import special_ids
from models.language.template_render import TODAY, render_template
from models.vocabulary import Vocabulary

SAID = tuple(f"Zq{name}zQ" for name in ("one", "two", "three", "four"))  # words that no template writes

# Vicuna v1.1's turns, which its published tokenizer does not hold (FastChat's conversation template).
VICUNA = (
    "{{ bos_token }}{{ 'A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user\\'s questions. ' }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'USER: ' + message['content'] + ' ' }}"
    "{% else %}{{ 'ASSISTANT: ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


@dataclass(frozen=True)
class Turns:
    """Ids that stand before a document, before a turn of either side, and after an answer; the last are learned.

    Attributes:
        begin: before all turns.
        user: before what the user says.
        assistant: before what the model says.
        end: after it; the first of them is what the model stops at.
    """

    begin: tuple[int, ...]
    user: tuple[int, ...]
    assistant: tuple[int, ...]
    end: tuple[int, ...]

    @property
    def stop(self) -> int:
        """The id that ends an answer."""
        return self.end[0]

    def to_dict(self) -> dict[str, list[int]]:
        """As a config holds them."""
        return {name: list(ids) for name, ids in asdict(self).items()}

    @classmethod
    def of(cls, given: Mapping[str, Sequence[int]] | None, vocabulary: Vocabulary) -> "Turns":
        """Those of a config, or our own where it has none.

        Raises:
            ValueError: ids that are no text's, or no end.
        """
        if given is None:
            return cls(*((vocabulary.special(name),) for name in ("begin", "user", "assistant", "end")))
        turns = cls(**{name: tuple(ids) for name, ids in given.items()})
        ids = [i for name in given for i in given[name]]
        if not turns.end or not all(0 <= i < vocabulary.text_size for i in ids):
            raise ValueError(f"turns must be ids below {vocabulary.text_size}, with an end: {dict(given)}")
        return turns


def lay_out_turns(turns: Turns, said: Sequence[Sequence[int]]) -> list[int]:
    """A talk as training lays it out: ids of what user and model say in turn, ending where the model's answer begins."""
    ids = list(turns.begin)
    for number, own in enumerate(said):
        ids += [*turns.assistant, *own, *turns.end] if number % 2 else [*turns.user, *own]
    return ids + list(turns.assistant) if len(said) % 2 else ids


def read_template_turns(tokenizer: PreTrainedTokenizerBase, source: str, today: str = TODAY) -> Turns:
    """Reads the turns off a tokenizer's chat template, by laying out a talk of four turns and looking between them.

    Args:
        tokenizer: with a chat template.
        source: where it is from, for messages.
        today: the day that a template is told which asks for it.

    Raises:
        ValueError: it has no chat template, or one that does not render, or whose turns are not alike, or end in what
            an answer may hold.
    """
    if not tokenizer.chat_template:
        raise ValueError(
            f"the tokenizer of {source} has no chat template: set `turns` to vicuna, if it is one, "
            "or to own, for special tokens of our own"
        )
    talk = [{"role": ("user", "assistant")[i % 2], "content": said} for i, said in enumerate(SAID)]
    tokens = {
        name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)
    }
    text = render_template(tokenizer.chat_template, talk, tokens, source, today)
    between = []
    for said in SAID:
        before, found, text = text.partition(said)
        if not found:
            raise ValueError(f"the chat template of {source} leaves out what is said: set `turns` to own")
        between.append(before.strip(" "))  # pieces of text bring a space of their own, where they have one
    first, to_answer, to_user, _, last = *between, text.strip(" ")
    end = _shared(to_user, last, tokenizer)
    user = to_user[len(end) :].strip(" ")
    if not end or not to_answer or not first.endswith(user):
        raise ValueError(
            f"the chat template of {source} does not open and close all turns alike: set `turns` to own"
        )
    begin = first.removesuffix(user).strip(" ")
    turns = Turns(*(tuple(_ids(tokenizer, piece)) for piece in (begin, user, to_answer, end)))
    if turns.stop not in special_ids(tokenizer):
        raise ValueError(
            f"the chat template of {source} ends an answer with {end[:40]!r}, which its tokenizer reads as words, so "
            "that an answer would stop within one: set `turns` to own"
        )
    return turns


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """With the template's own special tokens read as such."""
    return tokenizer(text, add_special_tokens=False)["input_ids"] if text else []


def _shared(one: str, other: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """The longest text, in whole tokens, with which both begin: what ends an answer, more said after it or not."""
    whole = [_ids(tokenizer, text) for text in (one, other)]
    for length in range(len(commonprefix([one, other])), 0, -1):
        ids = _ids(tokenizer, one[:length])
        if all(own[: len(ids)] == ids for own in whole):
            return one[:length].rstrip(" ")
    return ""
