"""A chat template that asks for today's date is told the recipe's, on every day, and the run says so."""

from types import SimpleNamespace

import pytest
from transformers.utils import chat_template_utils

from lightning_modules.language_start import start_parts
from models.language.template_render import TODAY
from tests.models.language.tiny_models import CHATML, SIZES, publish

DATED = "{{ '<|im_start|>system\n' + strftime_now('%d %b %Y') + '<|im_end|>\n' }}" + CHATML


class Later(chat_template_utils.datetime):
    """Another day."""

    @classmethod
    def now(cls, tz=None):
        return cls(2031, 5, 6)


def test_a_run_that_is_resumed_on_another_day_has_the_same_turns(tmp_path, monkeypatch):
    publish(tmp_path, template=DATED)
    module, turns = SimpleNamespace(device_mesh=None, trainer=None, _trainer=None), []
    for day in (chat_template_utils.datetime, Later):
        monkeypatch.setattr(chat_template_utils, "datetime", day)
        with pytest.warns(UserWarning, match=f"asks for today's date: it is told {TODAY}"):
            parts = start_parts(module, {}, None, {"from": str(tmp_path), **SIZES})
        turns.append(parts["language"].turns)
    assert turns[0] == turns[1]
