"""Which trunks compute here what they compute in `transformers`: families, and what a config of each may hold.

A published config may ask for what neither training nor drawing does here: capped logits, experts, other kinds of layers.
Whatever is not in this table is refused by its name. Each row is held against its library class in
`tests/models/language/test_families.py`; docs/scale/paper_scale.md shows the table.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import AutoConfig, PretrainedConfig
from transformers.activations import ACT2FN

from models.component_config import check_keys

COMMON = frozenset(
    "model_type hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads head_dim "
    "max_position_embeddings rope_parameters hidden_act rms_norm_eps layer_norm_eps attention_bias mlp_bias "
    "attention_dropout initializer_range use_cache".split()
)
OLD_ROTARY = ("rope_theta", "rope_scaling", "partial_rotary_factor")  # now of rope_parameters
ROTARIES = ("default", "linear", "llama3", "yarn", "dynamic", "longrope")
LENGTH_DEPENDENT = (
    "dynamic",
    "longrope",
)  # whose angles depend on the longest text of a batch, past a length
LAYERS = ("full_attention", "sliding_attention")
# Settings that change what is computed, and the values at which they change nothing.
IDLE: dict[str, tuple[Any, ...]] = {
    "attn_logit_softcapping": (None,),
    "final_logit_softcapping": (None,),
    "use_bidirectional_attention": (None, False),
    "is_causal": (True,),
    "interpolate_factor": (1,),  # Phi-4 mini's, whose code this is not
    "full_attn_mod": (1,),
}
# Of no consequence, or said again elsewhere; published configs hold them beside what their library class knows.
IGNORED_KEYS = frozenset(
    "architectures dtype torch_dtype transformers_version _name_or_path id2label label2id return_dict "
    "output_hidden_states output_attentions chunk_size_feed_forward problem_type is_encoder_decoder "
    "tie_word_embeddings vocab_size pad_token_id bos_token_id eos_token_id auto_map tokenizer_class "
    "cache_implementation model_max_length pretraining_tp "
    "_attn_implementation_autoset _attn_implementation _flash_attn_2_enabled transformers.js_config neuron "
    "unsloth_fixed unsloth_version is_llama_config max_sequence_length max_length task_specific_params "
    "model_name temperature top_k top_p do_sample repetition_penalty rope_theta rope_scaling".split()
)
# the trunk's own embedding is never used: text and vision rows are this module's
NO_TEXT_ROWS = {"vocab_size": 1, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
REFUSED = {
    "gemma2": "it caps the logits of attention and head (attn_logit_softcapping, final_logit_softcapping)",
    "gpt_oss": "it has experts, and learned attention sinks",
    "phi": "its head has a bias",
    **dict.fromkeys(
        ("mixtral", "qwen2_moe", "qwen3_moe", "granitemoe", "phimoe", "olmoe", "deepseek_v2", "deepseek_v3"),
        "it has experts, whose balance is not learned here",
    ),
    **dict.fromkeys(("gpt2", "opt", "gpt_neo"), "it learns positions of its own, which packing would mix up"),
    **dict.fromkeys(
        ("mamba", "mamba2", "jamba", "falcon_h1", "bamba"), "it keeps a state across a packed row"
    ),
    **dict.fromkeys(
        ("gemma3", "gemma3n", "mistral3", "llama4", "mllama", "llava", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"),
        "it holds a vision model too: take the language model that it was made of",
    ),
}


def _one(config: PretrainedConfig) -> float:
    return 1.0


@dataclass(frozen=True)
class Family:
    """What of a config a family computes with, beside COMMON, and what its causal LM multiplies outside the trunk.

    Attributes:
        keys: its own settings.
        fixed: settings that its library class does not read, and the values that it computes with.
        embedding: factor of embedded text, which the trunk does not apply to what is embedded already.
        head: factor of logits.
    """

    keys: frozenset[str] = field(default_factory=frozenset)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    embedding: Callable[[PretrainedConfig], float] = _one
    head: Callable[[PretrainedConfig], float] = _one


def _family(keys: str = "", **more: Any) -> Family:
    return Family(frozenset(keys.split()), **more)


def _root(config: PretrainedConfig) -> float:
    return config.hidden_size**0.5


WINDOWS = "sliding_window layer_types"  # of families with windows in some layers
FAMILIES: dict[str, Family] = {
    "llama": _family(),
    "mistral": _family("sliding_window"),
    "ministral": _family(WINDOWS),
    "qwen2": _family(f"{WINDOWS} use_sliding_window max_window_layers"),
    "qwen3": _family(f"{WINDOWS} use_sliding_window max_window_layers"),
    "phi3": _family("sliding_window resid_pdrop embd_pdrop original_max_position_embeddings"),
    "gemma": _family(
        "use_bidirectional_attention", fixed={"hidden_activation": "gelu_pytorch_tanh"}, embedding=_root
    ),
    "gemma3_text": _family(
        f"{WINDOWS} sliding_window_pattern rope_local_base_freq "
        "hidden_activation query_pre_attn_scalar final_logit_softcapping attn_logit_softcapping "
        "use_bidirectional_attention _sliding_window_pattern",
        embedding=_root,
    ),
    "granite": _family(
        "embedding_multiplier logits_scaling residual_multiplier attention_multiplier",
        head=lambda config: 1 / config.logits_scaling,
    ),
    "cohere": _family("logit_scale use_qk_norm", head=lambda config: config.logit_scale),
    "cohere2": _family(
        f"{WINDOWS} sliding_window_pattern layer_switch logit_scale",
        fixed={
            **{"position_embedding_type": "rope_gptj", "rotary_pct": 1.0, "use_embedding_sharing": True},
            **{"use_gated_activation": True, "use_parallel_block": True},
            "order_of_interleaved_layers": "local_attn_first",
        },
        head=lambda config: config.logit_scale,
    ),
    "olmo2": _family(),
    "olmo3": _family(WINDOWS),
    "smollm3": _family(
        f"{WINDOWS} use_sliding_window max_window_layers no_rope_layers no_rope_layer_interval"
    ),
    "starcoder2": _family(
        "sliding_window norm_epsilon residual_dropout embedding_dropout use_bias",
        fixed={"norm_type": "layer_norm", "mlp_type": "default"},
    ),
    "stablelm": _family("use_qkv_bias qk_layernorm use_parallel_residual hidden_dropout"),
    "glm4": _family(),
}


def trunk_config(trunk: dict[str, Any]) -> PretrainedConfig:
    """The Hugging Face config that a recipe describes; the library itself would take a mistyped key without a word."""
    if "model_type" not in trunk:
        raise ValueError("the trunk lacks model_type, as llama or qwen2")
    settings = {key: value for key, value in trunk.items() if key != "model_type"}
    try:
        known = AutoConfig.for_model(trunk["model_type"]).to_dict()
    except ValueError as error:
        raise ValueError(
            f"the trunk's model_type {trunk['model_type']!r} is not one of transformers'"
        ) from error
    check_keys(settings, [*known, *OLD_ROTARY], "the trunk")
    try:  # a copy, for the library writes into what it is given
        config = AutoConfig.for_model(trunk["model_type"], **(copy.deepcopy(settings) | NO_TEXT_ROWS))
    except KeyError as error:
        raise ValueError(f"the trunk makes no config: {error.args[0]}") from error
    found = {key: getattr(config, key) for key in (*settings, "rope_parameters") if hasattr(config, key)}
    check_trunk(trunk | found, "the trunk")
    return config


def check_trunk(settings: Mapping[str, Any], where: str) -> None:
    """Makes sure that what a config asks for is computed here as its family's library class does.

    Args:
        settings: of the trunk, `model_type` among them, with the library's names.
        where: what the message begins with.

    Raises:
        ValueError: a family or a setting that is not in the table.
    """
    kind = settings["model_type"]
    if kind not in FAMILIES:
        why = REFUSED.get(kind, "it was never held against its library class (models/language/families.py)")
        raise ValueError(f"{where}: model_type {kind} is refused: {why}; there is {', '.join(FAMILIES)}")
    for key, value in settings.items():
        if not _is_computed(key, value, FAMILIES[kind], settings):
            raise ValueError(
                f"{where}: {key}: {str(value)[:80]} is refused: it changes what {kind} computes, "
                "and is not computed here (models/language/families.py)"
            )
    _check_numbers(settings, where)
    for layer in settings.get("layer_types") or ():
        if layer not in LAYERS:
            raise ValueError(f"{where}: layer_types has {str(layer)[:40]}; there is {', '.join(LAYERS)}")
    for rotary in rope_types(settings.get("rope_parameters")):
        if rotary not in ROTARIES:
            raise ValueError(f"{where}: rope_type is {str(rotary)[:40]}; there is {', '.join(ROTARIES)}")


def _is_computed(key: str, value: Any, family: Family, settings: Mapping[str, Any]) -> bool:
    """Whether a setting, at this value, changes nothing, or only what the family's library class computes with."""
    if key in IDLE:
        return value in IDLE[key]
    if key in family.fixed:
        return value is None or value == family.fixed[key]
    if key == "partial_rotary_factor" and (own := _rope_dicts(settings.get("rope_parameters"))):
        return all(one.get(key, 1.0) == value for one in own)
    return key in COMMON | IGNORED_KEYS | family.keys or not value


def _check_numbers(settings: Mapping[str, Any], where: str) -> None:
    """Makes sure of what the library would meet in a step's middle, or take for something else.

    Raises:
        ValueError: a window of no tokens, or none where layers have one; heads that do not share keys evenly; an
            activation that there is not.
    """
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


def rope_types(parameters: Any) -> list[Any]:
    """The kinds of rotary positions in a config's `rope_parameters`: one dict, or one for each kind of layer."""
    return [own.get("rope_type", "default") for own in _rope_dicts(parameters)]


def _rope_dicts(parameters: Any) -> list[Mapping[str, Any]]:
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


def row_factors(config: PretrainedConfig) -> tuple[float, float]:
    """What a family's causal LM multiplies embedded text and logits by; our rows hold both already."""
    family = FAMILIES[config.model_type]
    return family.embedding(config), family.head(config)


def sliding_window(config: PretrainedConfig) -> int | None:
    """Tokens that a sliding layer looks back over, itself among them; None: there is no such layer."""
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and "sliding_attention" not in kinds:
        return None
    return getattr(config, "sliding_window", None)
