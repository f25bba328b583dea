"""A published causal LM becomes the trunk and the text rows of a `UnifiedLM`: Llama, Vicuna, Qwen, Mistral, Phi, ...

ILLUME section 3.2 grows Vicuna-7B by a visual vocabulary; which language model it is, is one line of YAML here.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from common.paths import expand_home
from models.attention import Attend, Backend
from models.language.chat_template import VICUNA, read_template_turns
from models.language.families import IGNORED_KEYS, NO_TEXT_ROWS, check_trunk, row_factors
from models.language.published_tokenizer import read_published_tokenizer
from models.language.stop_ids import published_stop_ids
from models.language.template_render import TODAY, check_day
from models.language.text_tokenizer import text_rows
from models.language.unified_lm import UnifiedLM, new_adapter
from models.published import check_files, read_published, stored_dtype
from models.published_config import read_config
from models.weights import check_finite_module, list_names

Language = tuple[UnifiedLM, PreTrainedTokenizerBase]
# settings as in `UnifiedLM`
SAME = ("codes", "feature_width", "see_tokens", "draw_tokens", "attend", "backend")


@dataclass(frozen=True)
class PretrainedLanguage:
    """A language model that starts from a published one. Sizes, attend and backend are those of `UnifiedLM`."""

    source: str  # a local folder, or a name on the Hugging Face hub
    codes: int
    feature_width: int
    see_tokens: int
    draw_tokens: int
    attend: Attend = "causal"  # as it was published (docs/decisions/language_model.md)
    backend: Backend = "auto"
    # as the tokenizer's chat template opens and closes turns, as Vicuna v1.1's, whose published tokenizer has none, or by
    # special tokens of our own
    turns: Literal["own", "template", "vicuna"] = "template"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"  # of the weights in memory
    revision: str = "main"  # branch, tag or commit on the hub
    pickled: bool = False  # reads weights that are only there as pickles, with `weights_only=True`
    today: str = TODAY  # the date given to a chat template that asks for it, the same on every day

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", expand_home(self.source))
        check_day(self.today)

    def without_weights(self, replacing: PreTrainedTokenizerBase | None = None) -> Language:
        """The model on the meta device, and the published tokenizer, or one `replacing` it, with its chat template.

        Raises:
            FileNotFoundError: there is no such folder, nor such a name on the hub.
            ValueError: config and tokenizer do not fit each other, or the trunk is not computed here.
        """
        config = read_config(self.source, self.revision)
        tokenizer = replacing or read_published_tokenizer(self.source, self.revision)
        if self.turns == "vicuna":
            tokenizer.chat_template = VICUNA
        rows, there = text_rows(tokenizer), config.get_text_config().vocab_size
        if rows > there:
            raise ValueError(
                f"the tokenizer of {self.source} has ids up to {rows - 1} and its model {there} rows: "
                "they are of different models"
            )
        own = self.turns == "own"
        turns = None if own else read_template_turns(tokenizer, self.source, self.today).to_dict()
        with torch.device("meta"):
            model = UnifiedLM(
                trunk_settings(config, self.source),
                rows,
                **{name: getattr(self, name) for name in SAME},
                turns=turns,
                stop_ids=published_stop_ids(self.source, self.revision, config, tokenizer) or None,
            )
        return model.to(getattr(torch, self.dtype)), tokenizer

    def load(self, mapped: bool = False) -> Language:
        """The model, its new rows random, and the tokenizer.

        If `mapped` the published weights stay in their files, in the dtype that they have there, for
        `models.sharding.shard` to copy a share of each. What `transformers` itself puts together from several tensors, or
        a pickle of before torch 1.6, is held whole all the same.

        Raises:
            FileNotFoundError: weights are missing; the message names and counts them.
            ValueError: as `without_weights`, or the weights are pickled and that was not asked for.
        """
        model, tokenizer = self.without_weights()
        check_files(self.source, self.revision, self.pickled)
        dtype = getattr(torch, self.dtype)
        causal = self._read(stored_dtype(self.source, self.revision, self.pickled) if mapped else dtype)
        ends = causal.get_input_embeddings(), causal.get_output_embeddings()  # one if tied; here they part
        if getattr(ends[1], "bias", None) is not None:
            raise ValueError(f"the head of {self.source} has a bias, which a unified head has no place for")
        trunk: Any = causal.base_model
        model.trunk = trunk
        width = trunk.config.get_text_config().hidden_size
        trunk.set_input_embeddings(nn.Embedding(1, width, dtype=dtype).requires_grad_(False))
        for name, value in NO_TEXT_ROWS.items():
            setattr(trunk.config, name, value)
        factors = row_factors(trunk.config)
        for name, end, factor in zip(("text_embedding", "text_head"), ends, factors, strict=True):
            rows = end.weight.detach()[: model.vocabulary.text_size]
            rows = rows if mapped else rows.clone()
            setattr(model, name, nn.Parameter(rows if factor == 1 else rows * rows.new_tensor(factor)))
        with (
            torch.no_grad()
        ):  # new rows of the scale of the published ones, a new adapter as torch's (both assumed)
            for name in ("vision_embedding", "vision_head"):
                new = torch.randn(getattr(model, name).shape) * model.text_scale(name, dtype)
                setattr(model, name, nn.Parameter(new.to(dtype)))
        model.adapter = new_adapter(self.feature_width, width).to(dtype)
        return model, tokenizer

    def _read(self, dtype: torch.dtype) -> PreTrainedModel:
        causal, found = read_published(
            AutoModelForCausalLM.from_pretrained,
            self.source,
            self.revision,
            dtype=dtype,
            use_safetensors=None if self.pickled else True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are named below
        )
        for key, what in (("missing_keys", "lacks"), ("mismatched_keys", "has misshapen")):
            if names := sorted(map(str, found[key])):
                raise ValueError(f"{self.source} {what} {len(names)} tensors: {list_names(names)}")
        check_finite_module(causal, self.source)
        return causal


def trunk_settings(config: PretrainedConfig, source: str = "the config") -> dict[str, Any]:
    """What of a published config makes the trunk: all that changes what it computes, without what is only about files.

    Raises:
        ValueError: its family, or one of its settings, is not computed here (`models/language/families.py`).
    """
    settings = {key: value for key, value in config.to_dict().items() if key not in IGNORED_KEYS}
    check_trunk(settings, f"{source}/config.json")
    known = AutoConfig.for_model(config.model_type).to_dict()
    return {key: value for key, value in settings.items() if key in known}
