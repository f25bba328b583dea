"""Whether parts are of one model, before anything is spent on them."""

from typing import TYPE_CHECKING

from models.language.text_tokenizer import text_rows

if TYPE_CHECKING:
    from models.unified import Illume


def check_parts(model: "Illume") -> None:
    """Makes sure that the parts which are there fit each other.

    Raises:
        ValueError: two disagree in sizes or counts, or slices are not of the size that their encoder takes.
    """
    codes, language, words = model.tokenizer, model.language, model.text_tokenizer
    eye = model.understanding_encoder or model.encoder
    if codes is not None and model.encoder is not None and codes.reads == "features":
        _agree("the encoder makes", model.encoder.tokens, "the tokenizer reads", codes.tokens, "features")
        _agree("the encoder's are", model.encoder.width, "the tokenizer's", codes.feature_width, "wide")
    if codes is not None and model.detokenizer is not None:
        drawn = model.detokenizer.grid**2
        _agree("the tokenizer's image is", codes.tokens, "the detokenizer draws of", drawn, "features")
    if language is None:
        return
    if codes is not None:
        ours = language.vocabulary.codes
        _agree("the language model writes", ours, "the tokenizer has", codes.codes, "codes")
        _agree("a drawing is", language.draw_tokens, "the tokenizer's image", codes.tokens, "codes long")
    if eye is not None and language.slicing is not None and language.slicing.size != eye.image_size:
        size, takes = language.slicing.size, eye.image_size
        raise ValueError(
            f"slicing: slices are {size} x {size}, the encoder of seen images takes {takes} x {takes}: "
            f"size must be {takes}"
        )
    if eye is not None:
        reads = language.adapter[0].in_features
        _agree("the language model sees", language.see_tokens, "the encoder makes", eye.tokens, "features")
        _agree("the adapter reads", reads, "the encoder's are", eye.width, "wide")
    if words is not None and text_rows(words) > language.vocabulary.text_size:
        raise ValueError(
            f"the text tokenizer has ids up to {text_rows(words) - 1}, "
            f"the language model {language.vocabulary.text_size} text rows: they are of different runs"
        )


def _agree(one: str, here: int, other: str, there: int, what: str) -> None:
    if here != there:
        raise ValueError(f"{one} {here} {what}, {other} {there}: they are of different runs")
