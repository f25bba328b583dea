"""The text of a chat model's answer, in whichever of its fields and between whatever marks a server puts it."""

import json
import re
from collections.abc import Mapping
from typing import Any

# What models and servers put around a draft: DeepSeek, Qwen and most others, Magistral, Seed, and gpt-oss's channels.
THOUGHT_ENDS = re.compile(
    r"</(?:think|thinking|thought|reasoning|reflection|seed:think)>|\[/THINK\]|<\|channel\|>final<\|message\|>",
    re.IGNORECASE,
)
THOUGHT_BEGINS = re.compile(
    r"<(?:think|thinking|thought|reasoning|reflection|seed:think)>|\[THINK\]|<\|channel\|>analysis<\|message\|>",
    re.IGNORECASE,
)


# How servers say that an answer ended at its limit: OpenAI, and proxies of Anthropic and Google.
CUT = ("length", "max_tokens")


class CutAnswer(ValueError):
    """An answer that ended at its limit of tokens."""


def answer_text(choice: Any) -> str:
    """What a choice of a chat completion answers, without its thoughts.

    Args:
        choice: `choices[0]` of the completion, as the `openai` package gives it.

    Raises:
        CutAnswer: it reached its limit of tokens.
        ValueError: it holds no text.
    """
    message = choice.message
    if str(choice.finish_reason).lower() in CUT:
        raise CutAnswer(
            f"its answer is cut at the limit of tokens (finish_reason {choice.finish_reason}): allow more, as with "
            "options: {max_completion_tokens: 8000}, or give the server a longer context"
        )
    text = without_thoughts(_joined(message.content))
    if text.strip():
        return text
    # some servers file the whole answer under the thoughts, where its form was forced
    for name in ("reasoning_content", "reasoning"):
        thought = without_thoughts(_joined(getattr(message, name, None)))
        if thought.strip():
            return thought
    if getattr(message, "tool_calls", None) or getattr(message, "function_call", None):
        raise ValueError("it calls a tool instead of answering: the server must offer it none")
    raise ValueError("its answer is empty")


def without_thoughts(text: str) -> str:
    """What follows the last end of a thought.

    Raises:
        ValueError: a thought begins and does not end.
    """
    if _is_json(text):
        return text  # what looks like a mark is a word in it
    ends = list(THOUGHT_ENDS.finditer(text))
    rest = text[ends[-1].end() :] if ends else text
    if THOUGHT_BEGINS.search(rest):
        raise ValueError("its answer ends within its thoughts")
    return rest


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _joined(content: Any) -> str:
    """A text, or a list of parts of which some are text."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise ValueError(f"its answer is no text but {type(content).__name__}")
    texts = [
        part.get("text") if isinstance(part, Mapping) else getattr(part, "text", part) for part in content
    ]
    return "\n".join(text for text in texts if isinstance(text, str))
