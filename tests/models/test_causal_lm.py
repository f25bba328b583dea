"""The language half as a causal LM: the same logits, codes, ids and turns."""

import pytest
import torch
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.document import Text, draw_document
from models.generation import SamplingConfig
from models.language.drawing import draw_codes
from models.language.prefill import Prefill
from models.language.pretrained import PretrainedLanguage
from models.language.text_generation import generate_text
from models.unified import Illume
from tests.models.language.tiny_models import CHATML, SIZES, publish, publish_gap, publish_sentencepiece
from tests.models.test_model_card import run
from tests.perturb import perturb

TURNS = [
    {"role": "user", "content": "draw a red circle"},
    {"role": "assistant", "content": "describe"},
    {"role": "user", "content": "a blue square"},
]


DOCUMENT = [Text("draw a red circle"), Text("describe", learn=True), Text("a blue square")]


def test_a_causal_lm_gives_the_same_logits(illume, folder):
    out = run(folder, "--language")
    ids = torch.tensor([illume.sequencer.segment(DOCUMENT, ask=True).ids])
    batch = illume.segment(DOCUMENT, ask=True)
    model = AutoModelForCausalLM.from_pretrained(out)
    with torch.no_grad():
        ours = illume.language.logits(Prefill(illume.language, [batch]).last)
        theirs = model(ids).logits
    assert theirs.shape[-1] == illume.language.vocabulary.size
    assert torch.allclose(theirs[:, -1], ours, atol=1e-3) and theirs.abs().max() > 1
    assert model.config.eos_token_id == illume.language.vocabulary.special("end")


def test_exported_tokenizer_gives_the_models_ids(illume, folder):
    tokenizer = AutoTokenizer.from_pretrained(run(folder, "--language"))
    vocabulary = illume.language.vocabulary
    ids = tokenizer.apply_chat_template(TURNS, add_generation_prompt=True, return_dict=False)
    assert ids == illume.sequencer.segment(DOCUMENT, ask=True).ids
    answered = [*TURNS, {"role": "assistant", "content": "which"}]
    whole = illume.sequencer.segment([*DOCUMENT, Text("which", learn=True)]).ids
    assert tokenizer.apply_chat_template(answered, return_dict=False) == whole
    assert tokenizer.convert_tokens_to_ids("<|code_5|>") == vocabulary.first_code + 5
    assert len(tokenizer) == vocabulary.size
    hostile = tokenizer("<|end|>", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert max(hostile) < vocabulary.text_size


def test_exported_model_draws_the_same_codes(illume, folder):
    illume.language.position_embedding.data.zero_()  # which a causal LM has no place for
    illume.save_pretrained(str(folder))
    model = AutoModelForCausalLM.from_pretrained(run(folder, "--language"))
    segment = illume.segment(draw_document("a red circle"))
    ours = draw_codes(illume.language, [segment], [segment], [0], SamplingConfig(1.0, 0.0))
    first = illume.language.vocabulary.first_code
    ids = torch.tensor([segment.ids])
    for code in ours[0]:
        with torch.no_grad():
            best = model(ids).logits[0, -1, first:].argmax()
        assert best == code
        ids = torch.cat([ids, best[None, None] + first], 1)


PHI = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


ENDS = {"own": "<|end|>", "chatml": "<|im_end|>", "dated": "<|im_end|>", "vicuna": "</s>", "phi": "<|end|>"}


DATED = "{{ '<|im_start|>system\nToday is ' + strftime_now('%d %b %Y') + '<|im_end|>\n' }}" + CHATML


def trained_with(kind, folder):
    """A published language model whose turns are opened and closed in one of the ways there are."""
    if kind == "vicuna":
        publish_sentencepiece(folder)
        language, words = PretrainedLanguage(str(folder), **SIZES, attend="causal", turns="vicuna").load()
        return Illume(language=language, text_tokenizer=words).eval()
    words = publish(folder, "phi3", {"phi": PHI, "own": None, "dated": DATED}.get(kind, CHATML), rows=330)
    if kind == "phi":  # whose own tokens are spelled as ours are
        names = ("<|user|>", "<|assistant|>", "<|end|>", "<|code_3|>")
        words.add_tokens([AddedToken(name, special=True) for name in names], special_tokens=True)
        words.save_pretrained(folder)
    turns = "own" if kind == "own" else "template"
    language, words = PretrainedLanguage(str(folder), **SIZES, attend="causal", turns=turns).load()
    return Illume(language=language, text_tokenizer=words).eval()


@pytest.mark.parametrize("kind", ENDS)
def test_exported_chat_template_and_stop_match_training(kind, tmp_path):
    model = trained_with(kind, tmp_path / "llm")
    language, vocabulary = model.language, model.language.vocabulary
    with torch.no_grad():
        perturb(language.trunk)
        language.text_head.mul_(20)
        language.text_embedding.mul_(20)
    model.save_pretrained(str(tmp_path / "model"))
    out = run(tmp_path / "model", "--language")
    tokenizer, causal = AutoTokenizer.from_pretrained(out), AutoModelForCausalLM.from_pretrained(out)
    assert tokenizer.eos_token == ENDS[kind] and tokenizer.eos_token_id == language.turns.stop
    assert causal.config.eos_token_id == causal.generation_config.eos_token_id == language.turns.stop
    assert causal.generation_config.pad_token_id == tokenizer.pad_token_id == vocabulary.special("pad")
    assert len(tokenizer) == vocabulary.size == causal.config.vocab_size
    code = "<|illume_code_3|>" if kind == "phi" else "<|code_3|>"
    assert tokenizer.convert_tokens_to_ids([code, "<|code_4|>"]) == [
        vocabulary.first_code + i for i in (3, 4)
    ]
    said = [Text("draw a cat"), Text("a red one?", learn=True), Text("which"), Text("2 cats.", learn=True)]
    talk = [{"role": ("user", "assistant")[i % 2], "content": part.text} for i, part in enumerate(said)]
    assert tokenizer.apply_chat_template(talk, return_dict=False) == model.sequencer.segment(said).ids
    asked = tokenizer.apply_chat_template(talk[:3], add_generation_prompt=True, return_dict=False)
    segment = model.segment(said[:3], ask=True)
    assert asked == segment.ids
    assert (
        max(tokenizer("<|code_4|><|end_image|>", split_special_tokens=True)["input_ids"])
        < vocabulary.text_size
    )
    ours = generate_text(language, [segment], limit=16)[0]
    opens = vocabulary.special("begin_image")
    never = [i for i in range(vocabulary.text_size, vocabulary.size) if i not in (opens, language.turns.stop)]
    theirs = causal.generate(
        torch.tensor([asked]), max_new_tokens=16, do_sample=False, suppress_tokens=never,
        eos_token_id=[language.turns.stop, opens],
    )[0, len(asked) :].tolist()  # fmt: skip
    assert theirs == ours and len(set(ours)) > 2


def test_exported_tokenizer_keeps_ids_with_gaps(tmp_path):
    publish_gap(tmp_path / "llm")
    language, words = PretrainedLanguage(str(tmp_path / "llm"), **SIZES, turns="own").load()
    model, vocabulary = Illume(language=language, text_tokenizer=words), language.vocabulary
    model.save_pretrained(str(tmp_path / "model"))
    again = Illume.from_pretrained(str(tmp_path / "model"))
    assert again.sequencer.encode_text("describe") == words("describe")["input_ids"]
    tokenizer = AutoTokenizer.from_pretrained(run(tmp_path / "model", "--language"))
    assert tokenizer.convert_tokens_to_ids("<|code_5|>") == vocabulary.first_code + 5
    assert tokenizer("describe the image")["input_ids"] == words("describe the image")["input_ids"]
    assert tokenizer.apply_chat_template(TURNS, add_generation_prompt=True, return_dict=False) == (
        model.sequencer.segment(DOCUMENT, ask=True).ids
    )
