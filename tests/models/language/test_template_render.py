"""Chat templates that loop, that are bombs or of other shapes are refused in one line, and dates stand still."""

import json
import time

import pytest

from models.language import template_render
from models.language.chat_template import MARKERS
from models.language.pretrained import PretrainedLanguage
from models.language.template_render import TODAY, render_template
from tests.models.language.tiny_models import CHATML, SIZES, publish

DATED = "{{ '<|im_start|>system\nToday is ' + strftime_now('%d %b %Y') + '<|im_end|>\n' }}" + CHATML
BOMBS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "is large": "{{ 'x' * 10 ** 10 }}",
    "grows": "{% set n = namespace(s='x') %}{% for a in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}{{ n.s }}",
    "counts": "{{ 9 ** (9 ** 9) }}",
    "calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "is deep": "{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}",
    "takes a large range": "{{ range(10 ** 9) | list }}",
    "writes long": "{{ 'x' * 10 ** 6 }}",
}
SHAPES = {
    "no jinja": "{% for m in messages %}{{ m",
    "an unknown filter": "{{ messages | nothing }}",
    "an error of its own": "{{ raise_exception('system first') }}",
    "what the sandbox forbids": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "a foreign include": "{% include '/etc/passwd' %}",
    "half a character": "{{ '\\ud800' }}",
    "nothing that is said": "hello",
}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(template_render, "SECONDS", 1)


@pytest.mark.parametrize("kind", BOMBS)
def test_a_template_that_takes_too_much_is_stopped(kind):
    start = time.monotonic()
    with pytest.raises(
        ValueError, match="the chat template of some/model does not render: .*; set `turns` to own"
    ):
        render_template(BOMBS[kind], [{"role": "user", "content": "x"}], {}, "some/model")
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("kind", SHAPES)
def test_a_template_of_another_shape_is_one_line(kind, tmp_path):
    publish(tmp_path, template=SHAPES[kind])
    with pytest.raises(ValueError, match=f"the chat template of {tmp_path}.* set `turns` to own") as refused:
        PretrainedLanguage(str(tmp_path), **SIZES).load()
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 600


@pytest.mark.parametrize(
    "template", [5, 1.5, True, [], [1], {"a": 1}, {"default": 3}, [{"name": "x"}], {}, ""]
)
def test_a_template_that_is_no_text_is_one_line(template, tmp_path):
    publish(tmp_path, template=None)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    with pytest.raises(ValueError, match="template|does not load") as refused:
        PretrainedLanguage(str(tmp_path), **SIZES).load()
    assert str(tmp_path) in str(refused.value) and "\n" not in str(refused.value)


def test_of_several_templates_the_default_is_read(tmp_path):
    publish(tmp_path, template={"default": CHATML, "tool_use": "{{ 1 // 0 }}"})
    language, text_tokenizer = PretrainedLanguage(str(tmp_path), **SIZES).load()
    assert language.turns.stop == text_tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_a_long_template_is_not_rendered():
    with pytest.raises(ValueError, match="has 300,000 characters, at most 200,000 are read"):
        render_template("x" * 300_000, [], {}, "some/model")


def test_the_date_in_a_template_is_the_configs(tmp_path):
    publish(tmp_path, template=DATED)
    begins = {}
    for today in (TODAY, "2026-11-29"):
        language, text_tokenizer = PretrainedLanguage(str(tmp_path), **SIZES, today=today).load()
        begins[today] = text_tokenizer.decode(language.turns.begin)
    assert "Today is 09 Dec 2024" in begins[TODAY] and "Today is 29 Nov 2026" in begins["2026-11-29"]
    with pytest.raises(ValueError, match="language.today is 'tomorrow': it must be a date"):
        PretrainedLanguage(str(tmp_path), **SIZES, today="tomorrow")


def test_random_templates_render_the_same_each_time():
    talk = [{"role": "user", "content": MARKERS[0]}]
    template = "{{ range(1000) | random }} {{ lipsum(1) }} {{ messages[0].content }}"
    texts = {render_template(f"{template}{{# {i} #}}", talk, {}, "some/model") for i in range(2)}
    assert len(texts) == 1 and MARKERS[0] in texts.pop()
