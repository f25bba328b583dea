"""An answer ends at every id that the published model names as an end, here and in what is exported."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from models.causal_lm import to_causal_lm
from models.document import Text
from models.language.prefill import Prefill
from models.language.pretrained import PretrainedLanguage
from models.language.text_generation import generate_text
from models.unified import Illume
from tests.models.language.tiny_models import SIZES, publish


def as_llama_3(folder, where="generation_config.json", **more):
    """A published model whose config names several ends, of which its template writes one."""
    tokenizer = publish(folder, "qwen2", **more)
    ends = tokenizer.convert_tokens_to_ids(["</s>", "<|im_start|>", "<|im_end|>"])
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        content = json.loads(path.read_text()) | {"eos_token_id": ends if name == where else 2}
        path.write_text(json.dumps(content))
    return tokenizer, ends


@pytest.mark.parametrize("where", ["generation_config.json", "config.json"])
@pytest.mark.parametrize("turns", ["template", "own"])
@torch.no_grad()
def test_an_answer_ends_at_every_end_of_the_published_model(where, turns, tmp_path):
    tokenizer, ends = as_llama_3(tmp_path / "llm", where)
    language, tokenizer = PretrainedLanguage(str(tmp_path / "llm"), **SIZES, turns=turns).load()
    Illume(language=language, text_tokenizer=tokenizer).save_pretrained(str(tmp_path / "model"))
    model = Illume.from_pretrained(str(tmp_path / "model"))
    language = model.language
    assert language.turns.stop == language.stop_ids[0]
    assert {*ends, language.turns.stop} == {*language.stop_ids}
    assert 2 not in language.stop_ids  # a class's default, which is a word of this tokenizer
    prompts = model.encode_prompts([[Text("describe")]], ask=True)
    hidden = Prefill(language, prompts).last[0]
    language.vision_head.zero_()
    for end in ends:
        language.text_head.zero_()
        language.text_head[end] = hidden
        assert generate_text(language, prompts, limit=4)[0] == [end]
        assert model.decode_text([tokenizer.convert_tokens_to_ids("a"), end]) == "a"
    exported = to_causal_lm(language)
    exported.save_pretrained(tmp_path / "out")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert again.generation_config.eos_token_id == again.config.eos_token_id == list(language.stop_ids)


def test_an_end_that_is_no_id_is_one_line(tmp_path):
    publish(tmp_path)
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": ["<|im_end|>"]}))
    with pytest.raises(ValueError, match=r"generation_config.json: eos_token_id .* must be an id, or a list"):
        PretrainedLanguage(str(tmp_path), **SIZES).load()
    path.unlink()
    PretrainedLanguage(str(tmp_path), **SIZES).load()
