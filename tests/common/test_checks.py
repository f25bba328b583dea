"""Checks of names and texts that users give."""

import pytest

from common.checks import check_choice, check_run_name, check_sizes, check_text, suggest
from tests.evals.test_prompt_file import ODD


@pytest.mark.parametrize("text", ["what shape ?\nA. circle\r\nB. star", *ODD, "é\u0301", "\u202bשלום\u202c"])
def test_breaks_joiners_and_every_space_are_accepted(text: str) -> None:
    assert check_text(text) == text == check_text(text, "here")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\0b", r"the text holds U\+0000 \(NUL\) at letter 2"),
        ("a\x07", r"U\+0007 \(bell\)"),
        ("\x9b31m", r"U\+009B \(a control character\) at letter 1"),
        ("a\x7f", r"U\+007F \(delete\)"),
        ("a\udc80", r"U\+DC80 \(half of a surrogate pair\)"),
        (" \u3000\n", "the text is empty"),
    ],
)
def test_control_characters_are_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        check_text(text)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "name", ["stage1", "illume_7b/stage1", "v1.2 (new)", "größe", "x=1,y=2", "-x", "...a"]
)
def test_usual_run_names_pass(name: str) -> None:
    check_run_name(name)


def test_the_nearest_name_is_suggested():
    assert suggest("max_step", ["min_steps", "max_steps"]) == "did you mean max_steps?"
    assert suggest("x", ["b", "a"]) == "there is a, b" and suggest("x", []) == "there is none"
    assert check_choice("a", ("a", "b"), "kind") == "a"
    with pytest.raises(ValueError, match="kind 'colours' is not known: did you mean colors"):
        check_choice("colours", ("colors", "position"), "kind")
    with pytest.raises(ValueError, match=r"kind \['a'\] is not known"):
        check_choice(["a"], ("a", "b"), "kind")


def test_sizes_below_the_least_are_refused():
    check_sizes("data", 0, workers=0)
    with pytest.raises(ValueError, match="data: image_size is 0, and must be 1 or more"):
        check_sizes("data", batch_size=1, image_size=0)
