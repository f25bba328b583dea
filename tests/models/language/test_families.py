"""Every published family that the pages name computes here what its library class does, on perturbed weights."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from models.causal_lm import to_causal_lm
from models.document import Text, draw_document
from models.generation import NEUTRAL
from models.language.drawing import draw_codes
from models.language.families import FAMILIES, trunk_config
from models.language.prefill import Prefill
from models.language.pretrained import PretrainedLanguage
from models.language.sampling import Sampler, uniform_noise
from models.language.text_generation import generate_text
from models.sequence import Segment, collate
from models.unified import Illume
from tests.models.language.tiny_models import SIZES, byte_level
from tests.perturb import perturb

WINDOW = 6
LAYERS = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": WINDOW}
ROPE = {"rope_type": "default", "rope_theta": 1000.0}
LONGROPE = ROPE | {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [4.0, 5.0, 6.0, 7.0],
    "original_max_position_embeddings": 128,
}
PARTIAL = {"rope_parameters": ROPE | {"partial_rotary_factor": 0.5}}
LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
# Values that are no defaults, so that a setting which is left out changes the logits.
SETTINGS = {
    "llama": {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 1},
    "llama, llama3": {
        "rope_parameters": ROPE | {"rope_type": "llama3"} | LLAMA3,
        "tie_word_embeddings": True,
    },
    "llama, linear": {"rope_parameters": ROPE | {"rope_type": "linear", "factor": 4.0}, "head_dim": 16},
    "llama, yarn": {"rope_parameters": ROPE | {"rope_type": "yarn", "factor": 4.0}},
    "llama, dynamic": {"rope_parameters": ROPE | {"rope_type": "dynamic", "factor": 4.0}},
    "mistral": {"sliding_window": None, "num_key_value_heads": 1},
    "mistral, 0.1": {"sliding_window": WINDOW},
    "ministral": LAYERS | {"head_dim": 16},
    "qwen2": {"tie_word_embeddings": True},
    "qwen2, windows": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "qwen3": {"head_dim": 16, "attention_bias": True},
    "qwen3, windows": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "phi3": {"sliding_window": WINDOW} | PARTIAL,
    "phi3, longrope": {"rope_parameters": LONGROPE, "original_max_position_embeddings": 128},
    "gemma": {"head_dim": 16},
    "gemma3_text": {"head_dim": 16, "query_pre_attn_scalar": 7} | LAYERS,
    "granite": {
        **{"embedding_multiplier": 3.0, "logits_scaling": 4.0, "residual_multiplier": 0.4},
        **{"attention_multiplier": 0.3, "attention_bias": True},
    },
    "cohere": {"logit_scale": 0.3, "use_qk_norm": True},
    "cohere2": {"logit_scale": 0.3, "head_dim": 16} | LAYERS,
    "olmo2": {"attention_bias": True},
    "olmo3": LAYERS,
    "smollm3": {"use_sliding_window": True, "no_rope_layers": [1, 0]} | LAYERS,
    "starcoder2": {"sliding_window": WINDOW, "use_bias": True},
    "stablelm": {"use_qkv_bias": True, "qk_layernorm": True, "use_parallel_residual": True} | PARTIAL,
    "glm4": {"head_dim": 16} | PARTIAL,
}


@pytest.fixture(scope="module")
def text_tokenizer():
    tokenizer = byte_level(290)
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    return tokenizer


def published(folder, name, text_tokenizer, **more):
    """The library's own class, perturbed, and what is loaded from its folder."""
    family, settings = name.partition(",")[0], SETTINGS.get(name, {})
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "vocab_size": 320, "max_position_embeddings": 256}
    sizes |= {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None, "initializer_range": 0.3}
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **(sizes | settings | more))
    causal = perturb(AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval())
    causal.save_pretrained(folder)
    text_tokenizer.save_pretrained(folder)
    language, tokenizer = PretrainedLanguage(str(folder), **SIZES, attend="causal", turns="own").load()
    return causal, language.eval(), tokenizer


def of(ids):
    segment = Segment()
    segment.add(ids)
    return segment


@torch.no_grad()
def logits(causal, ids):
    return causal(torch.tensor([ids]), use_cache=False).logits[0]


def test_every_family_of_the_table_is_held_against_its_class():
    assert {name.partition(",")[0] for name in SETTINGS} == set(FAMILIES)


@pytest.mark.parametrize("name", SETTINGS)
@torch.no_grad()
def test_a_family_computes_what_its_library_class_does(name, tmp_path, text_tokenizer):
    causal, language, _ = published(tmp_path, name, text_tokenizer)
    texts = [torch.randint(0, 290, (length,)).tolist() for length in (30, 17, 5, 23)]
    wanted = [logits(causal, ids)[:, : language.vocabulary.text_size] for ids in texts]
    assert max(w.std() for w in wanted) > 0.05
    segments = [of(ids) for ids in texts]
    rows = [[0, 1], [2, 3]]
    batch, nothing = collate(segments, rows, 50, 0), torch.zeros(0, 36, 32)
    for backend in ("mask", "documents"):  # packed, as in training
        language.backend = backend
        found = language.logits(language.hidden(batch, batch.ids, nothing))[
            ..., : language.vocabulary.text_size
        ]
        for r, row in enumerate(rows):
            start = 0
            for index in row:
                own = found[r, start : start + len(texts[index])]
                torch.testing.assert_close(own, wanted[index], atol=2e-4, rtol=1e-3)
                start += len(texts[index])
    for fused in (True, False):  # decoded with a cache, padded on the left, past the window
        prefill = Prefill(language, [of(ids[:4]) for ids in texts])
        decoder, hidden = prefill.decoder(13, fused), prefill.last
        for position in range(4, 17):
            for i in (0, 1, 3):
                own = language.logits(hidden[i])[: language.vocabulary.text_size]
                torch.testing.assert_close(own, wanted[i][position - 1], atol=2e-4, rtol=1e-3)
            ids = torch.tensor([[own[min(position, len(own) - 1)]] for own in texts])
            hidden = decoder.step(language.embed(ids)[:, 0])


@pytest.mark.parametrize("name", SETTINGS)
@torch.no_grad()
def test_text_and_codes_of_a_family_are_those_of_its_exported_class(name, tmp_path, text_tokenizer):
    _, language, tokenizer = published(tmp_path, name, text_tokenizer)
    model = Illume(language=language, text_tokenizer=tokenizer).eval()
    exported = to_causal_lm(language).eval()
    asked = model.segment([Text("describe the image")], ask=True)
    ids = list(asked.ids)
    for token in generate_text(language, [asked], limit=12)[0]:
        row = logits(exported, ids)[-1]
        chosen = [*range(language.vocabulary.text_size), language.turns.stop]
        chosen.append(language.vocabulary.special("begin_image"))
        assert token == chosen[int(row[chosen].argmax())]
        ids.append(token)
    drawn = model.segment(draw_document("a red circle"))
    first, sampler, noise = language.vocabulary.first_code, Sampler([NEUTRAL]), uniform_noise([5], 36)
    for cuda_graph in (False, True):
        codes = draw_codes(language, [drawn], [drawn], [5], cuda_graph=cuda_graph)
        assert len(codes.unique()) > 8
        whole = logits(exported, drawn.ids + (codes[0] + first).tolist())[len(drawn) - 1 : -1, first:]
        wanted = [sampler(row[None], noise[:, position]) for position, row in enumerate(whole)]
        assert torch.equal(torch.cat(wanted), codes[0])


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("gemma2", {}, "caps the logits"),
        ("mixtral", {}, "has experts"),
        ("gpt2", {}, "positions of its own"),
        ("phi", {}, "its head has a bias"),
        ("bloom", {}, "never held against its library class"),
        ("gemma3_text", {"final_logit_softcapping": 30.0}, "final_logit_softcapping: 30.0 is refused"),
        (
            "gemma3_text",
            {"use_bidirectional_attention": True},
            "use_bidirectional_attention: True is refused",
        ),
        ("llama", {"logit_softcap": 30.0}, "logit_softcap: 30.0 is refused"),
        ("llama", {"rope_parameters": ROPE | {"rope_type": "proportional"}}, "rope_type is proportional"),
    ],
)
def test_what_a_trunk_does_not_compute_is_refused_by_name(name, changes, message, tmp_path, text_tokenizer):
    AutoConfig.for_model(name).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    text_tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message) as refused:
        PretrainedLanguage(str(tmp_path), **SIZES, turns="own").load()
    assert str(tmp_path / "config.json") in str(refused.value)


def test_rotary_angles_that_depend_on_the_length_are_held_to_it(tmp_path, text_tokenizer):
    for name in ("phi3, longrope", "llama, dynamic"):
        limit = 128 if "longrope" in name else 256
        _, language, tokenizer = published(tmp_path, name, text_tokenizer)
        assert language.context == limit
        with pytest.raises(ValueError, match=f"this model's context has room for {limit - 36 - 2}"):
            Illume(language=language, text_tokenizer=tokenizer).segment([Text("cat " * 100)])
        batch = collate([of([1] * 10)], [[0]], limit + 1, 0)
        with pytest.raises(ValueError, match=f"sequence_length must be {limit} at most"):
            language.hidden(batch, batch.ids, torch.zeros(0, 36, 32))
        with pytest.raises(ValueError, match=f"are held to {limit}: shorten the prompt"):
            Prefill(language, [of([1] * 100)]).decoder(limit - 99)


# Keys as published configs spell them: what the library class reads, and what it does not.
ROTARY_AS_PUBLISHED = {
    "llama, as 2.0": {"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 4.0}},
    "llama, as 3.1": {
        "rope_theta": 5e5,
        "rope_scaling": {"rope_type": "llama3"} | LLAMA3,
        "pretraining_tp": 2,
    },
    "phi3, as Phi-4": {"rope_theta": 500.0, "partial_rotary_factor": 1.0, "sliding_window": None},
    "phi3, as Phi-4 mini": {
        **{"rope_theta": 500.0, "partial_rotary_factor": 0.5, "full_attn_mod": 1, "interpolate_factor": 1},
        "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.1], "long_factor": [4.0, 5.0]},
        "original_max_position_embeddings": 128,
    },
    "gemma, as 1.1": {"hidden_act": "gelu", "hidden_activation": "gelu_pytorch_tanh"},
    "gemma3_text, as 1b": {
        **{"rope_theta": 1e6, "rope_local_base_freq": 1e4, "rope_scaling": None, "sliding_window_pattern": 2},
        "cache_implementation": "hybrid",
    },
    "cohere2, as R7B": {
        **{"rope_theta": 5e4, "sliding_window_pattern": 2, "layer_switch": 2, "rotary_pct": 1.0},
        **{"cache_implementation": "hybrid", "position_embedding_type": "rope_gptj"},
        **{"use_embedding_sharing": True, "use_gated_activation": True, "use_parallel_block": True},
        "order_of_interleaved_layers": "local_attn_first",
    },
    "smollm3, as 3B": {
        **{"rope_theta": 5e6, "max_window_layers": 28, "pretraining_tp": 2, "use_sliding_window": False},
        **{"sliding_window": None, "layer_types": ["full_attention"] * 2},
    },
    "starcoder2, as 3b": {"norm_type": "layer_norm", "mlp_type": "default", "attention_dropout": 0.1},
    "qwen2, as 2.5": {
        "sliding_window": 6,
        "max_window_layers": 2,
        "use_sliding_window": False,
        "use_mrope": False,
    },
}


def rewritten(folder, name, text_tokenizer, changes):
    """The published folder of a family, whose config is spelled otherwise."""
    published(folder, name, text_tokenizer)
    config = json.loads((folder / "config.json").read_text())
    if "rope_theta" in changes:
        config = {key: value for key, value in config.items() if key != "rope_parameters"}
    if "sliding_window_pattern" in changes:
        config = {key: value for key, value in config.items() if key != "layer_types"}
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize("name", ROTARY_AS_PUBLISHED)
@torch.no_grad()
def test_a_published_config_computes_what_its_library_class_does(name, tmp_path, text_tokenizer):
    rewritten(tmp_path, name.partition(",")[0], text_tokenizer, ROTARY_AS_PUBLISHED[name])
    language, _ = PretrainedLanguage(str(tmp_path), **SIZES, attend="causal", turns="own").load()
    causal = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    ids = torch.randint(0, 290, (30,)).tolist()
    batch = collate([of(ids)], [[0]], 40, 0)
    found = language.eval().hidden(batch, batch.ids, torch.zeros(0, 36, 32))[0, :30]
    rows = language.vocabulary.text_size
    torch.testing.assert_close(
        language.logits(found)[:, :rows], logits(causal, ids)[:, :rows], atol=2e-4, rtol=1e-3
    )


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("llama", {"sliding_window": 6}, "sliding_window: 6 is refused: it changes what llama computes"),
        ("llama", {"layer_types": ["sliding_attention"] * 2}, "layer_types: .* is refused"),
        ("llama", {"attention_chunk_size": 8}, "attention_chunk_size: 8 is refused"),
        ("mistral", {"sliding_window": 0}, "sliding_window 0 is out of range"),
        ("qwen3", {"layer_types": ["sliding_attention"] * 2}, "there is no sliding_window"),
        ("llama", {"num_key_value_heads": 3}, "num_key_value_heads 3 does not divide num_attention_heads 4"),
        ("llama", {"hidden_act": "mystery"}, "hidden_act 'mystery' is not one of transformers'"),
        ("llama", {"intermediate_size": 60}, "has misshapen .* tensors: .*down_proj"),
        ("cohere2", {"use_parallel_block": False}, "use_parallel_block: False is refused"),
        ("starcoder2", {"norm_type": "rms_norm"}, "norm_type: rms_norm is refused"),
    ],
)
def test_settings_that_a_library_class_ignores_or_fails_on_are_one_line(
    name, changes, message, tmp_path, text_tokenizer
):
    rewritten(tmp_path, name, text_tokenizer, changes)
    with pytest.raises(ValueError, match=message):
        PretrainedLanguage(str(tmp_path), **SIZES, turns="own").load()


def test_a_trunk_config_takes_old_names_of_rotary_settings_and_refuses_wrong_values():
    sizes = {"model_type": "llama", "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2}
    scaling = {"type": "linear", "factor": 4.0}
    config = trunk_config(sizes | {"rope_theta": 500.0, "rope_scaling": scaling})
    assert config.rope_parameters["rope_theta"] == 500.0 and config.rope_parameters["rope_type"] == "linear"
    assert scaling == {"type": "linear", "factor": 4.0}  # the recipe stays as it was
    with pytest.raises(ValueError, match="rope_type is mrope"):
        trunk_config(sizes | {"rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}})
    with pytest.raises(ValueError, match="makes no config: .*original_max_position_embeddings"):
        su = {"type": "su", "short_factor": [1.0] * 4, "long_factor": [1.0] * 4}
        trunk_config(sizes | {"model_type": "phi3", "rope_scaling": su})
    with pytest.raises(ValueError, match="does not divide"):
        trunk_config(sizes | {"num_key_value_heads": 3})


def test_a_trunk_with_dropout_is_refused_where_its_backend_knows_none(tmp_path, text_tokenizer):
    published(tmp_path, "starcoder2", text_tokenizer, attention_dropout=0.1)
    with pytest.raises(ValueError, match="backend flex knows no dropout, .*attention_dropout 0.1"):
        PretrainedLanguage(str(tmp_path), **SIZES, turns="own", backend="flex").load()
    language, _ = PretrainedLanguage(str(tmp_path), **SIZES, turns="own").load()
    batch = collate([of(list(range(20)))], [[0]], 30, 0)
    for backend in ("mask", "documents"):
        language.backend = backend
        twice = [language.train().hidden(batch, batch.ids, torch.zeros(0, 36, 32)) for _ in range(2)]
        assert twice[0].isfinite().all() and not torch.equal(*twice)
