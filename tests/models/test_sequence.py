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
    words = illume.text_tokenizer("red", add_special_tokens=False)["input_ids"]
    assert learned == [*words, illume.language.vocabulary.special("end")]


def test_branches_come_last_and_begin_with_given_words(illume, images):
    way = (Text("what"), Text("red", learn=True))
    with pytest.raises(ValueError, match="must be the last part"):
        illume.sequencer.segment([Branches((way,)), See(images[0])])
    with pytest.raises(ValueError, match="none may branch again"):
        illume.sequencer.segment([See(images[0]), Branches(((*way, Branches((way,))),))])
    for wrong in ((), (Text("red", learn=True),), (Draw(images[0]),)):
        with pytest.raises(ValueError, match="must begin with given words"):
            illume.sequencer.segment([See(images[0]), Branches((way, wrong))])


def test_text_cannot_spell_special_tokens(illume):
    ids = illume.sequencer.encode_text("<begin_image> <|end|> {caption} </s>")
    assert max(ids) < illume.language.vocabulary.text_size
    assert "{caption}</s>" in illume.text_tokenizer.decode(ids).replace(" ", "")


def test_text_cannot_spell_the_text_tokenizers_own_special_tokens(illume):
    illume.text_tokenizer.add_special_tokens({"eos_token": "</s>"})
    ids = illume.sequencer.encode_text("a </s> b")
    assert illume.text_tokenizer.eos_token_id not in ids
    assert illume.text_tokenizer.decode(ids).replace(" ", "") == "a</s>b"


def test_capitals_and_attached_marks_give_the_words_of_training(illume):
    encode = illume.sequencer.encode_text
    assert encode("Draw a red circle?") == encode("draw a red circle ?") != encode("draw a blue circle ?")


def test_braces_in_a_caption_stay_text(illume):
    assert draw_document("a {x} circle {caption}")[0].text.endswith("a {x} circle {caption}")


def test_an_image_used_twice_travels_once(illume, images):
    image = images[0]
    segment = illume.sequencer.segment([See(image), Text("again"), Draw(image)])
    batch = collate([segment], [[0]], len(segment), 0)
    assert len(batch.images) == 1 and batch.see_images.tolist() == batch.draw_images.tolist() == [0]
    assert batch.see_mask.sum() == batch.draw_mask.sum() == 36
    assert torch.equal(batch.images[0], image)
