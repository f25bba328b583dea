"""Whether components belong to one model, checked before anything is spent on them."""

from typing import Any

from models.language.text_tokenizer import text_rows


def check_components(
    encoder: Any,
    tokenizer: Any,
    detokenizer: Any,
    language: Any,
    text_tokenizer: Any,
    understanding_encoder: Any,
) -> None:
    """Makes sure that the components which are there, and are not None, fit each other.

    Raises:
        ValueError: two disagree in sizes or counts, or slices are not of the size that their encoder takes.
    """
    seeing = understanding_encoder or encoder
    if tokenizer is not None and encoder is not None and tokenizer.reads == "features":
        _check_equal("the encoder makes", encoder.tokens, "the tokenizer reads", tokenizer.tokens, "features")
        _check_equal("the encoder's are", encoder.width, "the tokenizer's", tokenizer.feature_width, "wide")
    if tokenizer is not None and detokenizer is not None:
        drawn = detokenizer.grid**2
        _check_equal(
            "the tokenizer's image is", tokenizer.tokens, "the detokenizer draws of", drawn, "features"
        )
    if language is None:
        return
    vocabulary = language.vocabulary
    if tokenizer is not None:
        _check_equal(
            "the language model writes", vocabulary.codes, "the tokenizer has", tokenizer.codes, "codes"
        )
        _check_equal(
            "a drawing is", language.draw_tokens, "the tokenizer's image", tokenizer.tokens, "codes long"
        )
    if seeing is not None and language.slicing is not None and language.slicing.size != seeing.image_size:
        size, takes = language.slicing.size, seeing.image_size
        raise ValueError(
            f"slicing: slices are {size} x {size}, the encoder of seen images takes {takes} x {takes}: "
            f"size must be {takes}"
        )
    if seeing is not None:
        reads = language.adapter[0].in_features
        _check_equal(
            "the language model sees", language.see_tokens, "the encoder makes", seeing.tokens, "features"
        )
        _check_equal("the adapter reads", reads, "the encoder's are", seeing.width, "wide")
    if text_tokenizer is not None and text_rows(text_tokenizer) > vocabulary.text_size:
        raise ValueError(
            f"the text tokenizer has ids up to {text_rows(text_tokenizer) - 1}, "
            f"the language model {vocabulary.text_size} text rows: they are of different runs"
        )


def _check_equal(one: str, here: int, other: str, there: int, what: str) -> None:
    if here != there:
        raise ValueError(f"{one} {here} {what}, {other} {there}: they are of different runs")
