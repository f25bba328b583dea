"""Chat templates of others, rendered where they can do no harm: in a process of their own, with a deadline and bounds.

A template is a program. transformers runs it in jinja's sandbox, which lets it loop for ever, take all memory, and look
at today's date, with which a run that is resumed on another day would learn other turns.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any

SECONDS = 5  # of a CPU: templates take milliseconds
WALL = 120  # seconds in all, where a machine is busy
MEMORY = 2**30  # bytes
MAX_LENGTH = 200_000  # characters of a template, and of what it writes
TODAY = "2024-12-09"  # given to templates by default: the day ILLUME was published

# The process limits itself once the library is there, and prints the result as JSON.
CHILD = """
import json, random, resource, sys
from datetime import datetime
from transformers.utils import chat_template_utils as library
asked = json.load(sys.stdin)
class Day(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.fromisoformat(asked["today"])
library.datetime = Day
random.seed(0)
used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2])) + 1
resource.setrlimit(resource.RLIMIT_CPU, (used + asked["seconds"], used + asked["seconds"] + 1))
resource.setrlimit(resource.RLIMIT_AS, (asked["memory"], asked["memory"]))
try:
    (text,), _ = library.render_jinja_template([asked["messages"]], chat_template=asked["template"], **asked["tokens"])
    text.encode()
    answer = {"text": text} if len(text) <= asked["max_length"] else {"error": "it writes too long a text"}
except MemoryError:
    answer = {"error": "it takes too much memory"}
except BaseException as error:
    answer = {"error": f"{type(error).__name__}: {error}"[:300]}
json.dump(answer, sys.stdout)
"""


def render_template(
    template: Any,
    messages: Sequence[Mapping[str, str]],
    tokens: Mapping[str, str],
    source: str,
    today: str = TODAY,
) -> str:
    """What a jinja chat template makes of messages, with the tokenizer's special tokens by name.

    Raises:
        ValueError: it is no template, does not end, or takes or writes too much.
    """
    if isinstance(template, Mapping):
        template = template.get("default")
    if not isinstance(template, str):
        problem = f"is no text but {str(template)[:60]!r}"
    elif len(template) > MAX_LENGTH:
        problem = f"has {len(template):,} characters, at most {MAX_LENGTH:,} are read"
    else:
        asked = {"template": template, "messages": [dict(own) for own in messages], "tokens": dict(tokens)}
        limits = {"today": today, "seconds": SECONDS, "memory": MEMORY, "max_length": MAX_LENGTH}
        answer = _render(json.dumps(asked | limits))
        if "text" in answer:
            return answer["text"]
        problem = "does not render: " + " ".join(str(answer.get("error")).split())
    raise ValueError(f"the chat template of {source} {problem}; set `turns` to own")


@lru_cache(maxsize=32)
def _render(asked: str) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", CHILD],
            input=asked,
            capture_output=True,
            text=True,
            timeout=WALL,
            env=os.environ | {"PYTHONHASHSEED": "0", "USE_TORCH": "0"},
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it does not end within {WALL} seconds"}
    if done.returncode < 0:
        seconds = f"{SECONDS} seconds of a CPU"
        return {"error": f"it does not end within {seconds}, or crashes (signal {-done.returncode})"}
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"error": f"its process ended with {done.returncode}: {done.stderr.strip()[-200:]}"}


def check_day(day: str) -> None:
    """Makes sure that a config's date is one."""
    try:
        date.fromisoformat(day)
    except (TypeError, ValueError):
        raise ValueError(f"language.today is {day!r}: it must be a date, as {TODAY}") from None
