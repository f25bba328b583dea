"""Greedy text: it streams, ends where the model's turns end, and is the same alone and in a batch."""

import torch

from models.document import See, Text
from models.language.prefill import Prefill
from models.language.pretrained import PretrainedLanguage
from models.language.text_generation import generate_text
from models.unified import Illume
from tests.models.language.tiny_models import SIZES, publish


def test_text_streams(illume, images):
    turn = ["what is this", images[0]]
    texts = [part for part in illume.stream_chat(turn, seed=1, limit=12) if isinstance(part, str)]
    assert len(texts) > 2 and "".join(texts) == "".join(
        part for part in illume.chat(turn, seed=1, limit=12) if isinstance(part, str)
    )
    (whole,) = illume.understand([[Text(turn[0]), See(images[0])]], limit=12)
    assert "".join(texts).startswith(whole)


def test_an_answer_ends_where_the_chat_template_ends_it(tmp_path):
    publish(tmp_path)
    language, tokenizer = PretrainedLanguage(str(tmp_path), **SIZES).load()
    model = Illume(language=language, text_tokenizer=tokenizer).eval()
    prompts = model.encode_prompts([[Text("describe")]], ask=True)
    other = tokenizer.convert_tokens_to_ids("a")
    with torch.no_grad():
        hidden = Prefill(language, prompts).last[0]
        language.vision_head.zero_()
        for likeliest, length in ((language.turns.stop, 1), (other, 4)):
            language.text_head.zero_()
            language.text_head[likeliest] = hidden
            assert generate_text(language, prompts, limit=4)[0][:length] == [likeliest] * length
    assert model.decode_text([language.turns.stop]) == ""


def test_an_edit_or_an_answer_is_the_same_alone_and_in_a_batch(illume, images):
    texts = ["make it red", "make the red circle a blue square and describe", "red"]
    edits = illume.edit_batch(images[:3], texts, [5, 6, 7])
    answers = illume.ask_batch(images[:3], texts)
    for i in range(3):
        alone = illume.edit_batch(images[i : i + 1], texts[i : i + 1], [5 + i])[0]
        assert (alone.int() - edits[i].int()).abs().max() <= 1
        assert illume.ask_batch(images[i : i + 1], texts[i : i + 1]) == answers[i : i + 1]
