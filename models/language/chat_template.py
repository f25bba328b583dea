"""The chat template of an exported model: a talk laid out as it was trained, token by token.

In training every piece of a talk becomes ids by itself (`models/sequence.py`); a template is one text, in which pieces
meet. Whether two of them meet with a space between is tried out, and the whole is held against the ids of training.
"""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from models.turns import Turns, lay_out_turns

PROBES = ("describe the image", "Is it red?", "a cat", "2 dogs, blue.")


def chat_template(tokenizer: PreTrainedTokenizerBase, turns: Turns) -> str:
    """A jinja template for `apply_chat_template`, whose ids are those of training.

    Args:
        tokenizer: that spells the turns' ids.
        turns: of the model.

    Raises:
        ValueError: however pieces meet, the tokenizer joins some that training keeps apart.
    """
    pieces = {name: _text(tokenizer, ids) for name, ids in turns.to_dict().items()}
    first, other = (_ids(tokenizer, said) for said in PROBES[:2])
    said = (PROBES[0], first)
    glue = {
        "user": _glue(tokenizer, (pieces["user"], turns.user), said),
        "assistant": _glue(tokenizer, (pieces["assistant"], turns.assistant), said),
        "answer": _glue(tokenizer, said, (pieces["assistant"], turns.assistant)),
        "end": _glue(tokenizer, said, (pieces["end"], turns.end)),
        "begin": _glue(tokenizer, (pieces["begin"], turns.begin), (pieces["user"], turns.user)),
        "again": _glue(tokenizer, (pieces["end"], turns.end), (pieces["user"], turns.user)),
        "more": _glue(tokenizer, said, (PROBES[1], other)),
    }
    before_user = _literal(glue["again"] + pieces["user"] + glue["user"])
    template = (
        f"{{{{ {_literal(pieces['begin'])} }}}}{{% for message in messages %}}"
        "{% if message['role'] == 'assistant' %}"
        f"{{{{ {_literal(glue['answer'] + pieces['assistant'] + glue['assistant'])} + message['content']"
        f" + {_literal(glue['end'] + pieces['end'])} }}}}"
        f"{{% elif loop.first %}}{{{{ {_literal(glue['begin'] + pieces['user'] + glue['user'])} + message['content'] }}}}"
        f"{{% elif loop.previtem['role'] == 'assistant' %}}{{{{ {before_user} + message['content'] }}}}"
        f"{{% else %}}{{{{ {_literal(glue['more'])} + message['content'] }}}}{{% endif %}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{{{{ {_literal(glue['answer'] + pieces['assistant'])} }}}}{{% endif %}}"
    )
    _check(tokenizer, turns, template)
    return template


def _check(tokenizer: PreTrainedTokenizerBase, turns: Turns, template: str) -> None:
    talk = [{"role": ("user", "assistant")[i % 2], "content": said} for i, said in enumerate(PROBES)]
    for count in range(1, len(talk) + 1):
        asks = bool(count % 2)
        laid = tokenizer.apply_chat_template(
            talk[:count], chat_template=template, add_generation_prompt=asks, return_dict=False
        )
        wanted = lay_out_turns(turns, [_ids(tokenizer, said) for said in PROBES[:count]])
        if list(laid) != wanted:
            raise ValueError(
                "no chat template of one text gives the ids this model was trained on, for its tokenizer joins "
                f"what training keeps apart: {tokenizer.decode(laid)!r:.120} is not {tokenizer.decode(wanted)!r:.120}"
            )


def _glue(
    tokenizer: PreTrainedTokenizerBase, one: tuple[str, Sequence[int]], other: tuple[str, Sequence[int]]
) -> str:
    """What stands between two texts so that their ids follow each other; nothing, where neither does it."""
    if not one[0] or not other[0]:
        return ""
    wanted = [*one[1], *other[1]]
    for glue in ("", " "):
        if _ids(tokenizer, one[0] + glue + other[0], special=True) == wanted:
            return glue
    return ""


def _ids(tokenizer: PreTrainedTokenizerBase, text: str, special: bool = False) -> list[int]:
    return tokenizer(text, add_special_tokens=False, split_special_tokens=not special)["input_ids"]


def _text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False) if ids else ""


def _literal(text: str) -> str:
    """As a string of jinja's."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
