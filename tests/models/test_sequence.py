"""Documents become the same tokens for training and for asking; packing keeps documents apart."""

import pytest
import torch

from models.document import Branches, Draw, See, Text, describe_document, draw_document, edit_document
from models.sequence import collate


def test_asking_is_a_prefix_of_training(illume, images):
    for learned, asked in (
        (describe_document(images[0], "a red circle"), describe_document(images[0])),
        (draw_document("a red circle", images[0]), draw_document("a red circle")),
        (edit_document(images[0], "make it blue", images[1]), edit_document(images[0], "make it blue")),
    ):
        whole, prompt = illume.sequencer.segment(learned), illume.sequencer.segment(asked, ask=True)
        assert whole.ids[: len(prompt)] == prompt.ids
        assert whole.learn[len(prompt)], "the first token after the prompt must be learned"


def test_only_answers_are_learned(illume, images):
    segment = illume.sequencer.segment([See(images[0]), Text("what"), Text("red", learn=True)])
    learned = [i for i, learn in zip(segment.ids, segment.learn, strict=True) if learn]
    ids = illume.text_tokenizer("red", add_special_tokens=False)["input_ids"]
    assert learned == [*ids, illume.language.vocabulary.special("end")]


def test_branches_come_last_and_begin_with_given_text(illume, images):
    branch = (Text("what"), Text("red", learn=True))
    with pytest.raises(ValueError, match="must be the last part"):
        illume.sequencer.segment([Branches((branch,)), See(images[0])])
    with pytest.raises(ValueError, match="none may branch again"):
        illume.sequencer.segment([See(images[0]), Branches(((*branch, Branches((branch,))),))])
    for wrong in ((), (Text("red", learn=True),), (Draw(images[0]),)):
        with pytest.raises(ValueError, match="must begin with given text"):
            illume.sequencer.segment([See(images[0]), Branches((branch, wrong))])


def test_an_image_used_twice_is_in_the_batch_once(illume, images):
    image = images[0]
    segment = illume.sequencer.segment([See(image), Text("again"), Draw(image)])
    batch = collate([segment], [[0]], len(segment), 0)
    assert len(batch.images) == 1 and batch.see_images.tolist() == batch.draw_images.tolist() == [0]
    assert batch.see_mask.sum() == batch.draw_mask.sum() == 36
    assert torch.equal(batch.images[0], image)


def test_the_end_of_a_drawn_image_is_learned_and_of_a_seen_one_not(illume, images):
    end = illume.language.vocabulary.special("end_image")
    drawn, seen = draw_document("a red circle", images[0]), describe_document(images[1], "red")
    for document, learned in ((drawn, True), (seen, False)):
        segment = illume.sequencer.segment(document)
        assert [learn for i, learn in zip(segment.ids, segment.learn, strict=True) if i == end] == [learned]
