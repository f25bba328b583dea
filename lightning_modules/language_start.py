"""What a language stage starts from: components of model folders, new ones from scratch, or published ones."""

import copy
import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn

from common.json_files import read_object
from lightning_modules.component_configs import LanguageConfig, TextTokenizerConfig, UnderstandingConfig
from lightning_modules.predecessor import loads_from_checkpoint
from lightning_modules.stage_module import StageModule
from models.component_config import build
from models.generation import PLAYGROUND
from models.language.pretrained import PretrainedLanguage
from models.language.text_tokenizer import text_rows
from models.language.unified_lm import UnifiedLM
from models.prompts import Prompts, read_prompts
from models.slices import Slicing
from models.unified import Illume

log = logging.getLogger(__name__)

SETTING = "model.init_args.language"
CODES = ("encoder", "tokenizer")  # the components that codes come of
GENERATION, PROMPTS = "model.init_args.generation", "model.init_args.prompts"


def start_components(
    stage: StageModule,
    start: Mapping[str, str],
    text_tokenizer: TextTokenizerConfig | None = None,
    language: LanguageConfig | None = None,
    generation: Mapping[str, Any] | None = None,
    prompts: str | Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """All components by name: those of model folders, then new ones; on the meta device where a checkpoint fills them.

    Arguments are as of `LanguageModule`.

    Raises:
        FileNotFoundError: something is not there.
        ValueError: a setting is not known, or components do not fit each other.
    """
    components: dict[str, Any] = {}
    check_detokenizer(start)
    for name, folder in start.items():
        components |= stage.predecessors.load(stage, folder, *(() if name == "all" else (name,)))
    components["generation"] = components.get("generation", PLAYGROUND).override(generation, GENERATION)
    components["prompts"] = read_prompts(prompts, components.get("prompts", Prompts()), PROMPTS)
    if text_tokenizer is not None:
        trained = stage.predecessors.train_text_tokenizer(text_tokenizer, components["prompts"])
        components["text_tokenizer"] = trained
    later = loads_from_checkpoint(stage)
    if language is not None and language.path is not None:
        components |= _published(stage, language, language.path, components)
    elif language is not None:
        sizes = {"text_size": text_rows(components["text_tokenizer"])} | language.settings
        with torch.device("meta") if later else nullcontext():
            components["language"] = build(UnifiedLM, sizes, SETTING)
    if later:  # what is mapped has not been read yet
        components = {n: c.to("meta") if isinstance(c, nn.Module) else c for n, c in components.items()}
    return components


def check_overrides(generation: Mapping[str, Any] | None, prompts: str | Mapping[str, str] | None) -> None:
    """Makes sure of what is laid over a predecessor's settings, before that is loaded.

    Raises:
        ValueError: a setting is not known, or out of range.
    """
    PLAYGROUND.override(generation, GENERATION)
    read_prompts(prompts, where=PROMPTS)


def check_detokenizer(start: Mapping[str, str]) -> None:
    """Makes sure that a detokenizer from a folder of its own draws the codes of the tokenizer beside it.

    Raises:
        ValueError: it was made for another; the message names both folders.
    """
    beside, own = start.get("tokenizer", start.get("all")), start.get("detokenizer")
    if beside is None or own is None:
        return
    made_for, there = (_fingerprints(folder) for folder in (own, beside))
    if any(made_for.get(name, code) != code for name, code in there.items() if name in CODES):
        raise ValueError(
            f"model.init_args.start.detokenizer: {own} draws the codes of another tokenizer than {beside}'s: "
            "both must start from one tokenizer's folder"
        )


def _fingerprints(folder: str) -> dict[str, str]:
    """Of a model folder's components; none where it is not there, or has none."""
    path = Path(folder) / "illume.json"
    return read_object(path).get("fingerprints", {}) if path.is_file() else {}


def _published(
    stage: StageModule, config: LanguageConfig, path: str, components: Mapping[str, Any]
) -> dict[str, Any]:
    """A published language model with its text tokenizer, fitted to the encoder and the tokenizer that are there."""
    sizes: dict[str, Any] = {"source": stage.predecessors.locate(path)}
    if (encoder := components.get("encoder")) is not None:
        sizes |= {"feature_width": encoder.width, "see_tokens": encoder.tokens}
    if (tokenizer := components.get("tokenizer")) is not None:
        sizes |= {"codes": tokenizer.codes, "draw_tokens": tokenizer.tokens}
    published = build(PretrainedLanguage, sizes | config.settings, SETTING)
    if loads_from_checkpoint(stage) or not stage.predecessors.weights:
        replacing = stage.predecessors.replacing_tokenizer(path)
        language, text_tokenizer = published.without_weights(replacing)
    else:
        language, text_tokenizer = published.load(mapped=stage.device_mesh is not None)
    if published.turns == "template" and "strftime_now" in str(text_tokenizer.chat_template):
        rank_zero_warn(
            f"The chat template of {path} asks for today's date: it gets {published.today}, now and when the "
            f"run is resumed ({SETTING}.today)."
        )
    return {"language": language, "text_tokenizer": text_tokenizer}


def join_components(
    components: Mapping[str, Any],
    codebook_rows: bool,
    encoder_learns: bool,
    understanding: UnderstandingConfig | None,
    slicing: Slicing | None,
) -> Illume:
    """The model, of which nothing but the language model and an understanding encoder can learn.

    Seen images get an encoder of their own where `encoder_learns`, or where `understanding` gives it another input.

    Raises:
        ValueError: components do not fit each other.
    """
    components = dict(components)
    language: Any = components["language"]
    tokenizer: Any = components.get("tokenizer")
    if codebook_rows and language.vocabulary.codes != tokenizer.codes:
        language.resize_codebook(tokenizer.codes)
    if (encoder_learns or understanding) and components.get("understanding_encoder") is None:
        components["understanding_encoder"] = copy.deepcopy(components["encoder"])
    encoder: Any = components.get("understanding_encoder")
    if understanding:
        if not hasattr(encoder, "set_input"):
            raise ValueError(
                f"a {type(encoder).__name__} takes one size of images: leave out `understanding`"
            )
        encoder.set_input(**understanding.given)
    if encoder is not None and not encoder_learns:
        encoder.requires_grad_(False)
    if slicing is not None:
        language.set_slicing(asdict(slicing))
    model = Illume(**components)
    codes, own = language.vocabulary.codes, model.generation
    model.generation = own.for_codes(codes)
    if model.generation != own:  # of a recipe for a larger codebook
        log.warning(
            "%s: a top_k is above the %d codes there are: 0, which keeps all, is used", GENERATION, codes
        )
    if codebook_rows and not language.vision_head.is_meta:  # no numbers in a plan, nor before a checkpoint
        language.init_from_codebook(tokenizer.codebook)
    for frozen in (model.encoder, model.tokenizer, model.detokenizer):
        if frozen is not None:
            frozen.requires_grad_(False)
    return model


def enable_gradient_checkpointing(model: Illume, encoder_learns: bool) -> None:
    """Recomputes activations of the trunk, and of a published encoder that learns, in the backward pass."""
    model.language.trunk.activation_checkpointing_enable({"use_reentrant": False})
    if encoder_learns and hasattr(model.understanding_encoder, "activation_checkpointing_enable"):
        model.understanding_encoder.activation_checkpointing_enable()
