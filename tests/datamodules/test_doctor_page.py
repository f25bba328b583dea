"""The doctor's page holds whatever members are named, as words."""

import pytest

from datamodules.doctor_page import page
from datamodules.examine import Examined, Fault, Unusual
from tests.evals.page import Page

EVIL = "<script>document.title='PWNED'</script>\" onload=x \x1b[2J\u202e"


@pytest.mark.parametrize("thumbnail", [None, b"\xff\xd8"])
def test_hostile_names_stay_text(thumbnail: bytes | None) -> None:
    one = Examined(EVIL, faults=[Fault(EVIL, EVIL, EVIL)], unusual=[Unusual(EVIL, EVIL, EVIL, thumbnail)])
    found = {"good": 1, "samples": 2, "shards": 1, "broken": 1, "reasons": {EVIL: 1}}
    text = page(found, [one])
    assert "<script" not in text and "\x1b" not in text and "Content-Security-Policy" in text
    read = Page(text)
    assert read.text.count("document.title='PWNED'") >= 5 and "1 of 2 samples" in " ".join(read.text.split())


def test_a_clean_set_has_no_lists() -> None:
    found = {"good": 2, "samples": 2, "shards": 1, "broken": 0, "reasons": {}}
    assert "<h2>" not in page(found, [])
