"""Which trunks compute here what they compute in `transformers`: families, and what a config of each may hold.

A published config may ask for what neither training nor drawing does here: capped logits, experts, other kinds of layers.
Whatever is not in this table is refused by its name. Each row is held against its library class in
`tests/models/language/test_families.py`; docs/scale/paper_scale.md shows the table.
"""

import copy
from collections.abc import Mapping
from typing import Any

from transformers import AutoConfig, PretrainedConfig
from transformers.activations import ACT2FN

from models.component_config import check_keys

COMMON_KEYS = frozenset(
    "model_type hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads head_dim "
    "max_position_embeddings rope_parameters hidden_act rms_norm_eps layer_norm_eps attention_bias mlp_bias "
    "attention_dropout initializer_range use_cache".split()
)
# Of no consequence, or repeated elsewhere; published configs hold them beside what their library class knows.
IGNORED_KEYS = frozenset(
    "architectures dtype torch_dtype transformers_version _name_or_path id2label label2id return_dict "
    "output_hidden_states output_attentions chunk_size_feed_forward problem_type is_encoder_decoder "
    "tie_word_embeddings vocab_size pad_token_id bos_token_id eos_token_id auto_map tokenizer_class "
    "cache_implementation model_max_length pretraining_tp "
    "_attn_implementation_autoset _attn_implementation _flash_attn_2_enabled transformers.js_config neuron "
    "unsloth_fixed unsloth_version is_llama_config max_sequence_length max_length task_specific_params "
    "model_name temperature top_k top_p do_sample repetition_penalty rope_theta rope_scaling".split()
)
OLD_ROPE_KEYS = ("rope_theta", "rope_scaling", "partial_rotary_factor")  # now of rope_parameters
LENGTH_DEPENDENT = ("dynamic", "longrope")  # angles depend on the longest text of a batch, past a length
ROPE_TYPES = ("default", "linear", "llama3", "yarn", *LENGTH_DEPENDENT)
LAYERS = ("full_attention", "sliding_attention")
# Settings that change what is computed, and the values at which they change nothing.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "attn_logit_softcapping": (None,),
    "final_logit_softcapping": (None,),
    "use_bidirectional_attention": (None, False),
    "is_causal": (True,),
    "interpolate_factor": (1,),  # Phi-4 mini's, whose code this is not
    "full_attn_mod": (1,),
}
# The trunk's own embedding is never used: text and vision rows are `UnifiedLM`'s.
NO_TEXT_ROWS = {"vocab_size": 1, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
WHY_REFUSED = {
    "it caps the logits of attention and head (attn_logit_softcapping, final_logit_softcapping)": "gemma2",
    "it has experts, and learned attention sinks": "gpt_oss",
    "its head has a bias": "phi",
    "it has experts, whose balance is not learned here": "mixtral qwen2_moe qwen3_moe granitemoe phimoe olmoe "
    "deepseek_v2 deepseek_v3",
    "it learns positions of its own, which packing would mix up": "gpt2 opt gpt_neo",
    "it keeps a state across a packed row": "mamba mamba2 jamba falcon_h1 bamba",
    "it holds a vision model too: take the language model that it was made of": "gemma3 gemma3n mistral3 llama4 "
    "mllama llava qwen2_vl qwen2_5_vl qwen3_vl",
}
# The settings that a family computes with, beside COMMON_KEYS.
WINDOWS = "sliding_window layer_types"  # of families with windows in some layers
QWEN = f"{WINDOWS} use_sliding_window max_window_layers"
FAMILIES = {
    "llama": "",
    "mistral": "sliding_window",
    "ministral": WINDOWS,
    "qwen2": QWEN,
    "qwen3": QWEN,
    "phi3": "sliding_window resid_pdrop embd_pdrop original_max_position_embeddings",
    "gemma": "use_bidirectional_attention",
    "gemma3_text": f"{WINDOWS} sliding_window_pattern rope_local_base_freq hidden_activation query_pre_attn_scalar "
    "final_logit_softcapping attn_logit_softcapping use_bidirectional_attention _sliding_window_pattern",
    "granite": "embedding_multiplier logits_scaling residual_multiplier attention_multiplier",
    "cohere": "logit_scale use_qk_norm",
    "cohere2": f"{WINDOWS} sliding_window_pattern layer_switch logit_scale",
    "olmo2": "",
    "olmo3": WINDOWS,
    "smollm3": f"{QWEN} no_rope_layers no_rope_layer_interval",
    "starcoder2": "sliding_window norm_epsilon residual_dropout embedding_dropout use_bias",
    "stablelm": "use_qkv_bias qk_layernorm use_parallel_residual hidden_dropout",
    "glm4": "",
}
# Settings that a library class does not read, and the values that it computes with.
FIXED: dict[str, dict[str, Any]] = {
    "gemma": {"hidden_activation": "gelu_pytorch_tanh"},
    "cohere2": {
        **{"position_embedding_type": "rope_gptj", "rotary_pct": 1.0, "use_embedding_sharing": True},
        **{"use_gated_activation": True, "use_parallel_block": True},
        "order_of_interleaved_layers": "local_attn_first",
    },
    "starcoder2": {"norm_type": "layer_norm", "mlp_type": "default"},
}


def row_factors(config: PretrainedConfig) -> tuple[float, float]:
    """What a family's causal LM multiplies embedded text and logits by, outside the trunk; our rows hold both already."""
    embedding = config.hidden_size**0.5 if config.model_type in ("gemma", "gemma3_text") else 1.0
    if config.model_type == "granite":
        return embedding, 1 / config.logits_scaling
    return embedding, config.logit_scale if config.model_type in ("cohere", "cohere2") else 1.0


def trunk_config(trunk: dict[str, Any]) -> PretrainedConfig:
    """The Hugging Face config of a trunk's settings; the library itself would silently take a mistyped key."""
    if "model_type" not in trunk:
        raise ValueError("the trunk lacks model_type, as llama or qwen2")
    settings = {key: value for key, value in trunk.items() if key != "model_type"}
    try:
        known = AutoConfig.for_model(trunk["model_type"]).to_dict()
    except ValueError as error:
        raise ValueError(
            f"the trunk's model_type {trunk['model_type']!r} is not one of transformers'"
        ) from error
    check_keys(settings, [*known, *OLD_ROPE_KEYS], "the trunk")
    try:  # a copy, for the library writes into what it is given
        config = AutoConfig.for_model(trunk["model_type"], **(copy.deepcopy(settings) | NO_TEXT_ROWS))
    except KeyError as error:
        raise ValueError(f"the trunk makes no config: {error.args[0]}") from error
    found = {key: getattr(config, key) for key in (*settings, "rope_parameters") if hasattr(config, key)}
    check_trunk(trunk | found, "the trunk")
    return config


def check_trunk(settings: Mapping[str, Any], where: str) -> None:
    """Refuses a family or a setting that is not computed here as its library class does."""
    kind = settings["model_type"]
    if kind not in FAMILIES:
        why = next((why for why, kinds in WHY_REFUSED.items() if kind in kinds.split()), None)
        why = why or "it was never held against its library class (models/language/families.py)"
        raise ValueError(f"{where}: model_type {kind} is refused: {why}; there is {', '.join(FAMILIES)}")
    for key, value in settings.items():
        if not _is_computed(key, value, settings):
            raise ValueError(
                f"{where}: {key}: {str(value)[:80]} is refused: it changes what {kind} computes, "
                "and is not computed here (models/language/families.py)"
            )
    _check_numbers(settings, where)
    kinds = [own.get("rope_type", "default") for own in _rope_dicts(settings.get("rope_parameters"))]
    for name, found, known in (
        ("layer_types has", settings.get("layer_types") or (), LAYERS),
        ("rope_type is", kinds, ROPE_TYPES),
    ):
        if wrong := [value for value in found if value not in known]:
            raise ValueError(f"{where}: {name} {str(wrong[0])[:40]}; there is {', '.join(known)}")


def _is_computed(key: str, value: Any, settings: Mapping[str, Any]) -> bool:
    """Whether a setting, at this value, changes nothing, or only what the family's library class computes with."""
    family, rope = settings["model_type"], _rope_dicts(settings.get("rope_parameters"))
    if key in NEUTRAL:
        return value in NEUTRAL[key]
    if key in FIXED.get(family, {}):
        return value is None or value == FIXED[family][key]
    if key == "partial_rotary_factor" and rope:
        return all(own.get(key, 1.0) == value for own in rope)
    return key in COMMON_KEYS | IGNORED_KEYS or key in FAMILIES[family].split() or not value


def _check_numbers(settings: Mapping[str, Any], where: str) -> None:
    """Refuses what the library would meet in the middle of a step, or take for something else."""
    window, heads = settings.get("sliding_window"), settings.get("num_attention_heads")
    shared, act = settings.get("num_key_value_heads"), settings.get("hidden_act")
    if window is not None and (type(window) is not int or window < 1):
        raise ValueError(
            f"{where}: sliding_window {window!r} is out of range: a whole number from 1, or null"
        )
    if window is None and "sliding_attention" in (settings.get("layer_types") or ()):
        raise ValueError(f"{where}: layer_types has sliding_attention, and there is no sliding_window")
    if isinstance(heads, int) and isinstance(shared, int) and (shared < 1 or heads % shared):
        raise ValueError(f"{where}: num_key_value_heads {shared} does not divide num_attention_heads {heads}")
    if isinstance(act, str) and act not in ACT2FN:
        raise ValueError(f"{where}: hidden_act {act[:40]!r} is not one of transformers'")


def _rope_dicts(parameters: Any) -> list[Mapping[str, Any]]:
    """The rotary settings in a config's `rope_parameters`: one dict, or one for each kind of layer."""
    if not isinstance(parameters, Mapping):
        return []
    nested = [own for key, own in parameters.items() if key in LAYERS and isinstance(own, Mapping)]
    return nested or [parameters]


def rotary_limit(config: PretrainedConfig) -> int | None:
    """Tokens up to which angles do not depend on the other texts of a batch; None: they never do."""
    limits = [
        own.get("original_max_position_embeddings") or config.max_position_embeddings
        for own in _rope_dicts(getattr(config, "rope_parameters", None))
        if own.get("rope_type") in LENGTH_DEPENDENT
    ]
    return min(limits, default=None)


def sliding_window(config: PretrainedConfig) -> int | None:
    """Tokens that a sliding layer looks back over, itself among them; None: there is no such layer."""
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and "sliding_attention" not in kinds:
        return None
    return getattr(config, "sliding_window", None)
