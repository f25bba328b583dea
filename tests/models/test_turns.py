"""Turns of our own, Vicuna's, and those of a config."""

import pytest

from models.document import Text
from models.language.pretrained import PretrainedLanguage
from models.turns import Turns
from models.unified import Illume
from models.vocabulary import Vocabulary
from tests.models.language.tiny_models import SIZES, publish


def test_vicunas_turns_and_our_own(tmp_path):
    publish(tmp_path, template=None)
    with pytest.raises(ValueError, match="has no chat template: set `turns` to vicuna"):
        PretrainedLanguage(str(tmp_path), **SIZES).load()
    language, tokenizer = PretrainedLanguage(str(tmp_path), **SIZES, turns="vicuna").load()
    model = Illume(language=language, text_tokenizer=tokenizer)
    text = tokenizer.decode(model.sequencer.segment([Text("draw"), Text("red", learn=True)]).ids)
    assert text.startswith("<s>") and text.endswith("</s>")
    assert language.turns.stop == tokenizer.eos_token_id
    own = PretrainedLanguage(str(tmp_path), **SIZES, turns="own").load()[0]
    assert own.turns.stop == own.vocabulary.special("end")


def test_turns_of_a_config_are_ids_of_text_with_an_end():
    given = {"begin": [1], "user": [2], "assistant": [3, 4], "end": [5]}
    turns = Turns.of(given, Vocabulary(10, 64))
    assert turns.to_dict() == given and turns.stop == 5
    assert turns.lay_out([[7], [8, 9], [7]]) == [1, 2, 7, 3, 4, 8, 9, 5, 2, 7, 3, 4]
    for wrong in ({"end": []}, {"user": [10]}, {"begin": [-1]}):
        with pytest.raises(ValueError, match="turns must be ids below 10, with an end"):
            Turns.of(given | wrong, Vocabulary(10, 64))
