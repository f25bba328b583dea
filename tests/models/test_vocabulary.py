"""The layout of ids, and that text spells no special token."""

from models.vocabulary import SPECIAL_TOKENS, Vocabulary


def test_special_tokens_and_codes_follow_the_text():
    vocabulary = Vocabulary(text_size=100, codes=64)
    assert [vocabulary.special(name) for name in SPECIAL_TOKENS] == list(range(100, vocabulary.first_code))
    assert vocabulary.size == 100 + vocabulary.vision_size == vocabulary.first_code + 64


def test_text_cannot_spell_special_tokens(illume):
    ids = illume.sequencer.encode_text("<begin_image> <|end|> {caption} </s>")
    assert max(ids) < illume.language.vocabulary.text_size
    assert "{caption}</s>" in illume.text_tokenizer.decode(ids).replace(" ", "")
