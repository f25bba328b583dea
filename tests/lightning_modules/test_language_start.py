"""What a language stage starts from: settings are inherited, and a detokenizer must draw the codes that are written."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.utils import chat_template_utils

from lightning_modules.component_configs import LanguageConfig
from lightning_modules.language import LanguageModule
from lightning_modules.language_start import start_components
from models.language.template_render import TODAY
from models.prompts import ILLUME_PLUS, Prompts
from models.unified import Illume
from tests.fixtures import make_tiny_illume
from tests.models.language.tiny_models import CHATML, SIZES, publish

RATES = {"adapter": 0.1}


def stage(folder: Path, start: dict[str, str], **settings: Any) -> Illume:
    """A stage's model, built and exported into a folder."""
    module = LanguageModule(RATES, start, **settings)
    module.configure_model()
    module.export(str(folder))
    return Illume.from_pretrained(str(folder))


def test_a12_a15_stages_inherit_settings_and_words(tmp_path: Path) -> None:
    make_tiny_illume().save_pretrained(str(tmp_path / "zero"))
    own = {"draw": {"cfg": 2.0, "top_k": 20}}
    one = stage(tmp_path / "one", {"all": str(tmp_path / "zero")}, generation=own, prompts="illume_plus")
    two = stage(tmp_path / "two", {"all": str(tmp_path / "one")})
    three = stage(
        tmp_path / "three",
        {"all": str(tmp_path / "zero"), "language": str(tmp_path / "two")},
        generation={"draw.cfg": 3.0},
        prompts={"describe": "What is this?"},
    )
    assert (one.generation.draw.cfg, one.generation.draw.top_k, one.generation.draw.temperature) == (
        2.0,
        20,
        0.6,
    )
    assert two.generation == one.generation and two.prompts == one.prompts == ILLUME_PLUS
    assert (three.generation.draw.cfg, three.generation.draw.top_k) == (3.0, 20)
    assert (three.prompts.describe, three.prompts.draw) == ("What is this?", ILLUME_PLUS.draw)
    assert three.prompts != Prompts()


def test_a12_a_recipe_s_top_k_beyond_a_smaller_codebook_leaves_all_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_tiny_illume().save_pretrained(str(tmp_path / "zero"))
    given = {"edit": {"top_k": 65}, "draw": {"top_k": 64}}
    made = stage(tmp_path / "one", {"all": str(tmp_path / "zero")}, generation=given)
    assert (made.generation.edit.top_k, made.generation.draw.top_k) == (0, 64)
    assert "generation: a top_k is above the 64 codes there are" in caplog.text


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"generation": {"draw": {"cfg": -1}}},
            r"model\.init_args\.generation\.draw\.cfg -1 is out of range",
        ),
        ({"prompts": {"draw": "draw"}}, r"model\.init_args\.prompts\.draw 'draw' must hold \{caption\} once"),
    ],
)
def test_a12_a15_what_is_wrong_is_said_before_anything_is_loaded(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        LanguageModule(RATES, {"all": "no/such/folder"}, **settings)


def test_a4_a_detokenizer_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    model = make_tiny_illume()
    drawing = Illume(model.encoder, model.tokenizer, model.detokenizer)
    drawing.save_pretrained(str(tmp_path / "right"))
    whole = {"all": str(tmp_path / "stage")}
    model.detokenizer = None
    model.save_pretrained(str(tmp_path / "stage"))
    made = stage(tmp_path / "one", whole | {"detokenizer": str(tmp_path / "right")})
    assert made.detokenizer is not None
    with torch.no_grad():
        next(drawing.tokenizer.parameters()).add_(1)
    drawing.save_pretrained(str(tmp_path / "wrong"))
    with pytest.raises(ValueError, match=r"start\.detokenizer: .*wrong draws the codes of another tokenizer"):
        stage(tmp_path / "two", whole | {"detokenizer": str(tmp_path / "wrong")})


DATED = "{{ '<|im_start|>system\n' + strftime_now('%d %b %Y') + '<|im_end|>\n' }}" + CHATML


class Later(chat_template_utils.datetime):
    """Another day."""

    @classmethod
    def now(cls, tz=None):
        return cls(2031, 5, 6)


def test_a_run_that_is_resumed_on_another_day_has_the_same_turns(tmp_path, monkeypatch):
    publish(tmp_path, template=DATED)
    stage, turns = LanguageModule(RATES, {}), []
    for day in (chat_template_utils.datetime, Later):
        monkeypatch.setattr(chat_template_utils, "datetime", day)
        with pytest.warns(UserWarning, match=f"asks for today's date: it gets {TODAY}"):
            components = start_components(stage, {}, language=LanguageConfig(str(tmp_path), **SIZES))
        turns.append(components["language"].turns)
    assert turns[0] == turns[1]
