"""Cells of Markdown tables that hold what people name things."""

from common.markdown import escape_markdown, markdown_table

EVIL = "a|b\\|c\n\n# forged <script>x</script> [y](javascript:z) \x1b[2J"


def test_a_cell_stays_a_cell():
    text = markdown_table([["", "x|y"], [EVIL, "1"]])
    assert len(text.splitlines()) == 3 and text.isascii() and "\x1b" not in text and "<script" not in text
    assert text.splitlines()[0] == r"|  | x\|y |"
    assert r"[y\](" in text and "\n#" not in text


def test_a_backslash_does_not_free_the_bar_behind_it():
    assert escape_markdown("\\|") == "\\\\\\|"


def test_plain_names_stay_as_they_are():
    name = "stage_2 (a*b) 50% #1 [1] {x}"
    assert escape_markdown(name) == name
