"""A published causal LM becomes the trunk and the text rows of a `UnifiedLM`: Llama, Vicuna, Qwen, Mistral, Phi, ...

ILLUME section 3.2 grows Vicuna-7B by a visual vocabulary; which language model it is, is one line of YAML here.
"""

from dataclasses import dataclass
from typing import Any

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
from models.language.unified_lm import UnifiedLM
from models.published import check_files, read_published, stored_dtype
from models.published_config import read_config
from models.weights import check_finite_module, list_names

TURNS = ("own", "template", "vicuna")
Language = tuple[UnifiedLM, PreTrainedTokenizerBase]


@dataclass(frozen=True)
class PretrainedLanguage:
    """Recipe of a language model that starts from a published one.

    Args:
        source: a local folder, or a name on the Hugging Face hub.
        codes: size of the visual codebook.
        feature_width: width of the features that enter.
        see_tokens: features an image enters as.
        draw_tokens: codes an image leaves as.
        attend: as in `UnifiedLM`; causal as it was published, where nobody says otherwise (docs/decisions/).
        backend: as in `UnifiedLM`.
        turns: "template" opens and closes turns as the tokenizer's chat template does, "vicuna" as Vicuna v1.1's, whose
            published tokenizer has none, "own" by special tokens of our own.
        today: the date that a chat template is list_names which asks for today's, so that it is the same on every day.
        dtype: of the weights in memory.
        revision: branch, tag or commit on the hub.
        pickled: reads weights that are only there as pickles, with `weights_only=True`; they are refused otherwise.

    Raises:
        ValueError: a setting that there is not.
    """

    source: str
    codes: int
    feature_width: int
    see_tokens: int
    draw_tokens: int
    attend: Attend = "causal"
    backend: Backend = "auto"
    turns: str = "template"
    dtype: str = "float32"
    revision: str = "main"
    pickled: bool = False
    today: str = TODAY

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", expand_home(self.source))
        if self.turns not in TURNS:
            raise ValueError(f"language.turns is {self.turns!r}; there is {', '.join(TURNS)}")
        check_day(self.today)
        if self.dtype not in ("float32", "bfloat16", "float16"):
            raise ValueError(f"language.dtype is {self.dtype!r}; there is float32, bfloat16, float16")

    def load(self, mapped: bool = False) -> Language:
        """The model, its new rows random, and the tokenizer.

        Args:
            mapped: leaves the published weights in their files, mapped and of the type that they are of there, for
                `models.sharding.shard`, which copies a share of each and brings it to `dtype`. What `transformers`
                itself puts together from several tensors, or a pickle of before torch 1.6, is held whole all the same.

        Raises:
            FileNotFoundError: weights are missing; the message names and counts them.
            ValueError: the parts do not fit each other, or the weights are pickled and that was not asked for.
        """
        config, tokenizer = self.config(), self.tokenizer()
        with torch.device("meta"):
            model = self._build(config, tokenizer)
        check_files(self.source, self.revision, self.pickled)
        kept = getattr(torch, self.dtype)
        read = stored_dtype(self.source, self.revision, self.pickled) if mapped else kept
        causal = self._causal(read)
        trunk, width = causal.base_model, config.get_text_config().hidden_size
        rows = model.vocabulary.text_size
        reads, writes = (end.weight.detach()[:rows] for end in _ends(causal, self.source))
        trunk.set_input_embeddings(nn.Embedding(1, width, dtype=kept).requires_grad_(False))
        for name, value in NO_TEXT_ROWS.items():
            setattr(trunk.config, name, value)
        model.trunk = trunk
        for name, rows, factor in zip(
            ("text_embedding", "text_head"), (reads, writes), row_factors(trunk.config), strict=True
        ):
            scaled = rows if mapped else rows.clone()
            setattr(model, name, nn.Parameter(scaled if factor == 1 else scaled * scaled.new_tensor(factor)))
        _begin_new(model, kept)
        return model, tokenizer

    def without_weights(self) -> Language:
        """The same on the meta device: only config and tokenizer are read."""
        config, tokenizer = self.config(), self.tokenizer()
        with torch.device("meta"):
            model = self._build(config, tokenizer)
        return model.to(getattr(torch, self.dtype)), tokenizer

    def config(self) -> PretrainedConfig:
        """The published model's config.

        Raises:
            FileNotFoundError: there is no such folder, nor such a name on the hub.
        """
        return read_config(self.source, self.revision)

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The published model's tokenizer, with the chat template that the turns are of."""
        tokenizer = read_published_tokenizer(self.source, self.revision)
        if self.turns == "vicuna":
            tokenizer.chat_template = VICUNA
        return tokenizer

    def _build(self, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> UnifiedLM:
        rows, there = text_rows(tokenizer), config.get_text_config().vocab_size
        if rows > there:
            raise ValueError(
                f"the tokenizer of {self.source} has ids up to {rows - 1} and its model {there} rows: "
                "they are of different models"
            )
        turns = (
            None if self.turns == "own" else read_template_turns(tokenizer, self.source, self.today).to_dict()
        )
        sizes = self.codes, self.feature_width, self.see_tokens, self.draw_tokens
        return UnifiedLM(
            trunk_settings(config, self.source),
            rows,
            *sizes,
            attend=self.attend,
            backend=self.backend,
            turns=turns,
            stop_ids=published_stop_ids(self.source, self.revision, config, tokenizer) or None,
        )

    def _causal(self, dtype: torch.dtype) -> PreTrainedModel:
        options = {"dtype": dtype, "use_safetensors": None if self.pickled else True}
        causal, found = read_published(
            AutoModelForCausalLM.from_pretrained,
            self.source,
            self.revision,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are named below
            **options,
        )
        for key, what in (("missing_keys", "lacks"), ("mismatched_keys", "has misshapen")):
            if names := sorted(map(str, found[key])):
                raise ValueError(f"{self.source} {what} {len(names)} tensors: {list_names(names)}")
        check_finite_module(causal, self.source)
        return causal


def trunk_settings(config: PretrainedConfig, source: str = "the config") -> dict[str, Any]:
    """What of a published config makes the trunk: all that changes what it computes, without what is only about files.

    Args:
        config: the published one.
        source: where it is from, for messages.

    Raises:
        ValueError: its family, or one of its settings, is not computed here (`models/language/families.py`).
    """
    settings = {key: value for key, value in config.to_dict().items() if key not in IGNORED_KEYS}
    check_trunk(settings, f"{source}/config.json")
    known = AutoConfig.for_model(config.model_type).to_dict()
    return {key: value for key, value in settings.items() if key in known}


def _ends(causal: PreTrainedModel, source: str) -> tuple[nn.Module, nn.Module]:
    """The embedding and the head, which are one where the published model ties them; here they part."""
    head = causal.get_output_embeddings()
    if getattr(head, "bias", None) is not None:
        raise ValueError(f"the head of {source} has a bias, which a unified head has no place for")
    return causal.get_input_embeddings(), head


@torch.no_grad()
def _begin_new(model: UnifiedLM, dtype: torch.dtype) -> None:
    """New rows of the size of the published ones, the adapter as torch begins it (both assumed)."""
    for name in ("vision_embedding", "vision_head"):
        rows = torch.randn(getattr(model, name).shape) * model.text_scale(name, dtype)
        setattr(model, name, nn.Parameter(rows.to(dtype)))
    fresh = [
        type(layer)(layer.in_features, layer.out_features) for layer in (model.adapter[0], model.adapter[2])
    ]
    model.adapter = nn.Sequential(fresh[0], nn.GELU(), fresh[1]).to(dtype)
