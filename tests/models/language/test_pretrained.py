"""Published causal LMs, tiny and of the real classes, saved to disk by the test and loaded by a recipe alone."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from models.component_config import build
from models.document import describe_document, draw_document
from models.generation import SamplingConfig
from models.language.drawing import draw_codes
from models.language.pretrained import PretrainedLanguage
from models.sequence import collate
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.semantic import SemanticTokenizer
from models.unified import Illume
from tests.models.language.tiny_models import FAMILIES, SIZES, publish


@pytest.mark.parametrize("family", FAMILIES)
def test_a_published_model_keeps_its_logits_and_its_folder_loads_again(family, tmp_path):
    text_tokenizer = publish(tmp_path / "llm", family)
    language, tokenizer = PretrainedLanguage(str(tmp_path / "llm"), **SIZES).load()
    assert language.vocabulary.text_size == len(tokenizer) < 320  # rows of padding stay behind
    ids = torch.randint(0, len(text_tokenizer), (2, 12))
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "llm").eval()
    with torch.no_grad():
        hidden = language.eval().trunk(inputs_embeds=language.embed(ids), use_cache=False).last_hidden_state
        ours = language.logits(hidden)
        wanted = theirs(ids).logits[..., : len(tokenizer)]
    assert torch.allclose(ours[..., : len(tokenizer)], wanted, atol=1e-5)
    Illume(language=language, text_tokenizer=tokenizer).save_pretrained(str(tmp_path / "model"))
    again = Illume.from_pretrained(str(tmp_path / "model"))
    with torch.no_grad():
        hidden = again.language.trunk(
            inputs_embeds=again.language.embed(ids), use_cache=False
        ).last_hidden_state
    assert torch.equal(again.language.logits(hidden), ours)
    assert again.language.turns.stop == tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_a_missing_shard_is_named(tmp_path):
    publish(tmp_path, shard="20KB")
    files = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(files) > 2
    PretrainedLanguage(str(tmp_path), **SIZES).load()
    files[1].unlink()
    with pytest.raises(FileNotFoundError, match=rf"lacks 1 of {len(files)} files: {files[1].name}"):
        PretrainedLanguage(str(tmp_path), **SIZES).load()


def test_a_tilde_in_a_folder_name_is_expanded(tmp_path, monkeypatch):
    publish(tmp_path / "llm")
    monkeypatch.setenv("HOME", str(tmp_path))
    language, _ = PretrainedLanguage("~/llm", **SIZES).load()
    assert language.turns.end


def test_pickles_are_read_only_when_asked_for(tmp_path):
    publish(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="pickled weights are not read unless `pickled: true`"):
        PretrainedLanguage(str(tmp_path), **SIZES).load()
    language, _ = PretrainedLanguage(str(tmp_path), **SIZES, pickled=True).load()
    assert torch.equal(language.text_head, model.lm_head.weight[: language.vocabulary.text_size])


def test_what_does_not_fit_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # no tries of a hub that is far
    publish(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 200}))
    with pytest.raises(ValueError, match="tokenizer of .* has ids up to 293 and its model 200 rows"):
        PretrainedLanguage(str(tmp_path), **SIZES).load()
    with pytest.raises(FileNotFoundError, match="no folder here, and the hub does not give it"):
        PretrainedLanguage("nobody/nothing", **SIZES).load()
    for wrong in ({"turns": "chatml"}, {"dtype": "int8"}):
        ((name, value),) = wrong.items()
        with pytest.raises(ValueError, match=f"language: {name} must be one of .*, not '{value}'"):
            build(PretrainedLanguage, {"source": str(tmp_path), **SIZES, **wrong}, "language")


def test_the_model_on_the_meta_device_needs_no_weights(tmp_path):
    publish(tmp_path)
    whole = PretrainedLanguage(str(tmp_path), **SIZES).load()[0]
    (tmp_path / "model.safetensors").unlink()
    planned = PretrainedLanguage(str(tmp_path), **SIZES).without_weights()[0]
    assert all(p.is_meta for p in planned.parameters())
    assert {n: p.shape for n, p in planned.named_parameters()} == {
        n: p.shape for n, p in whole.named_parameters()
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_it_learns_to_draw_and_to_answer_and_draws(family, tmp_path):
    publish(tmp_path, family)
    language, text_tokenizer = PretrainedLanguage(str(tmp_path), **SIZES).load()
    torch.manual_seed(0)
    model = Illume(
        VisionEncoder(width=32, layers=1, heads=2),
        SemanticTokenizer(feature_width=32, codes=64, code_width=8, decoder_layers=1, heads=2),
        language=language,
        text_tokenizer=text_tokenizer,
    ).train()
    language.trunk.activation_checkpointing_enable({"use_reentrant": False})
    image = torch.randint(0, 256, (3, 48, 48), dtype=torch.uint8)
    segments = [
        model.sequencer.segment(document)
        for document in (draw_document("a red circle", image), describe_document(image, "a red circle"))
    ]
    batch = collate(segments, [[0, 1]], 256, language.vocabulary.special("pad"))
    optimizer = torch.optim.AdamW([p for p in language.parameters() if p.requires_grad], 1e-3)
    losses = []
    for _ in range(4):
        loss = language.loss(batch, *model.encode_images(batch)).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    prompt, null = (model.segment(draw_document(caption)) for caption in ("a red circle", None))
    codes = draw_codes(model.eval().language, [prompt], [null], [1], SamplingConfig(2.0))
    assert codes.shape == (1, 36) and int(codes.max()) < 64


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_mapped_weights_are_as_they_are_on_disk_and_become_the_same(tmp_path, dtype, pickled):
    publish(tmp_path)
    half = AutoModelForCausalLM.from_pretrained(tmp_path).half()
    half.model.norm.float()  # what is of several types is read as the widest, for halves are no bfloat16
    half.save_pretrained(tmp_path)
    if pickled:
        torch.save(half.state_dict(), tmp_path / "pytorch_model.bin")
        (tmp_path / "model.safetensors").unlink()
    for widest in (torch.float32, torch.float16):
        recipe = PretrainedLanguage(str(tmp_path), **SIZES, dtype=dtype, pickled=pickled)
        torch.manual_seed(1)
        wanted = recipe.load()[0].state_dict()
        torch.manual_seed(1)
        found = recipe.load(mapped=True)[0].state_dict()
        assert found["trunk.layers.0.mlp.up_proj.weight"].dtype == widest
        kept = getattr(torch, dtype)
        assert all(torch.equal(found[name].to(kept), tensor) for name, tensor in wanted.items())
        if pickled:
            torch.save(half.half().state_dict(), tmp_path / "pytorch_model.bin")
        else:
            half.half().save_pretrained(tmp_path)
