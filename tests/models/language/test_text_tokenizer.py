"""Text tokenizers: what training spells, special tokens that text cannot spell, and ids with gaps."""

from models.document import Text
from models.language.pretrained import PretrainedLanguage
from models.language.text_tokenizer import TextEncoder, text_rows, train_text_tokenizer
from models.unified import Illume
from tests.models.language.tiny_models import SIZES, publish_gap

TEXTS = ["draw a red circle and a blue square", "describe the image"] * 3


def test_the_same_texts_give_the_same_pieces():
    one, other = (train_text_tokenizer(TEXTS, 280) for _ in range(2))
    assert one.get_vocab() == other.get_vocab() and text_rows(one) == len(one) <= 280


def test_capitals_and_attached_marks_give_the_text_of_training():
    encode = TextEncoder(train_text_tokenizer(TEXTS, 280))
    assert encode("Draw a red circle?") == encode("draw a red circle ?") != encode("draw a blue circle ?")


def test_text_cannot_spell_the_tokenizers_own_special_tokens():
    tokenizer = train_text_tokenizer(TEXTS, 280)
    tokenizer.add_special_tokens({"eos_token": "</s>"})
    ids = TextEncoder(tokenizer)("a </s> b")
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids).replace(" ", "") == "a</s>b"


def test_text_of_ids_with_a_gap_stays_text(tmp_path):
    publish_gap(tmp_path)
    language, tokenizer = PretrainedLanguage(str(tmp_path), **SIZES, turns="own").load()
    largest = max(tokenizer.get_vocab().values())
    assert language.vocabulary.text_size == largest + 1 > len(tokenizer)
    model = Illume(language=language, text_tokenizer=tokenizer)
    segment = model.sequencer.segment([Text("describe the image"), Text("red", learn=True)])
    own = [language.vocabulary.special(name) for name in ("begin", "user", "assistant", "end")]
    spelled = [i for i in segment.ids if i not in own]
    assert len(spelled) == len(segment.ids) - 4 and max(spelled) >= largest - 5
    assert tokenizer.decode(spelled) == "describe the imagered"
