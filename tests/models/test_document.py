"""Documents of each task: prompts, null prompts, and images as they are or as the parts that hold them."""

from models.document import (
    Branches,
    Draw,
    See,
    Text,
    assess_document,
    describe_document,
    draw_document,
    draws,
    edit_document,
    reconstruct_document,
    redraw_document,
)
from models.prompts import PLAYGROUND


def test_braces_in_a_caption_stay_text():
    assert draw_document("a {x} circle {caption}")[0].text.endswith("a {x} circle {caption}")


def test_an_image_may_be_given_as_the_part_that_holds_it():
    seen, drawn = See(features="f"), Draw(codes=(1, 2))
    assert edit_document(seen, "blue", drawn)[::2] == [seen, drawn]
    assert edit_document("a", "blue", "b") == [See("a"), Text("edit the image : blue"), Draw("b")]
    assert draw_document("red", drawn)[1] is drawn and describe_document(seen)[0] is seen
    assert redraw_document(seen, "red", "no", drawn)[::4] == [seen, drawn]


def test_null_prompts_leave_the_request_out():
    assert draw_document(None) == [Text(PLAYGROUND.draw_null), Draw(None)]
    assert edit_document("a", None) == [See("a"), Text(PLAYGROUND.reconstruct), Draw(None)]
    assert reconstruct_document("a") == edit_document("a", None, "a")


def test_only_answers_are_learned():
    for document in (describe_document("a", "red"), assess_document("a", "red", "yes")):
        assert [part.learn for part in document[1:]] == [False, True]
    assert len(describe_document("a")) == len(assess_document("a", "red")) == 2


def test_drawing_in_branches_counts():
    assert Draw(None) == Draw() and Draw().open and not Draw("a").open and not Draw(codes=()).open
    asked = (Text("which"), Text("red", learn=True))
    assert not draws([See("a"), Branches((asked,))])
    assert draws([See("a"), Branches((asked, (Text("blue"), Draw())))]) and draws(draw_document("red"))
