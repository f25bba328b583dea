"""What a language stage starts from: parts of folders, words and a language model from nothing, or a published one."""

import copy
import glob
import json
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
import webdataset as wds
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn
from transformers import PreTrainedTokenizerFast
from webdataset.shardlists import expand_urls

from common.json_files import read_object
from common.tar_members import read_members
from common.terminal import printable
from lightning_modules.predecessor import PLANNED, is_filled_later, parts_of
from models.component_config import build
from models.generation import PLAYGROUND
from models.language.pretrained import PretrainedLanguage
from models.language.text_tokenizer import blank_text_tokenizer, text_rows, train_text_tokenizer
from models.language.unified_lm import UnifiedLM
from models.prompts import Prompts, read_prompts
from models.unified import Illume

log = logging.getLogger(__name__)

WHERE = "model.init_args.language"
WORDS = "model.init_args.words.shards"
CODES = ("encoder", "tokenizer")  # the components that codes come of
GENERATION, PROMPTS = "model.init_args.generation", "model.init_args.prompts"


def start_parts(
    module: L.LightningModule,
    start: Mapping[str, str],
    words: Mapping[str, Any] | None,
    language: Mapping[str, Any] | None,
    generation: Mapping[str, Any] | None = None,
    prompts: str | Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """All parts by name: those of model folders, then those made new; on the meta device where a checkpoint fills them.

    Args:
        module: whose run it is.
        start: model folder of each part; `all` takes every part of one.
        words: recipe of a text tokenizer from nothing.
        language: recipe of a language model from nothing, or, with `from`, of a published one.
        generation: laid over the language model's own, or the playground's where it is new.
        prompts: the same.

    Raises:
        FileNotFoundError: something is not there.
        ValueError: a recipe has a setting that is not known, or parts do not fit each other.
    """
    parts: dict[str, Any] = {}
    check_detokenizer(start)
    for name, folder in start.items():
        parts |= parts_of(module, folder, *(() if name == "all" else (name,)))
    parts["generation"] = parts.get("generation", PLAYGROUND).override(generation, GENERATION)
    parts["prompts"] = read_prompts(prompts, parts.get("prompts", Prompts()), PROMPTS)
    if words is not None:
        recipe = build(Words, words, "model.init_args.words")
        parts["text_tokenizer"] = (
            recipe.tokenizer(parts["prompts"]) if PLANNED.get() is None else recipe.plan(parts["prompts"])
        )
    later = is_filled_later(module)
    if language is not None and "from" in language:
        parts |= _published(module, dict(language), parts)
    elif language is not None:
        sizes = {"text_size": text_rows(parts["text_tokenizer"])} | language
        with torch.device("meta") if later else nullcontext():
            parts["language"] = build(UnifiedLM, sizes, WHERE)
    if later:  # what is mapped has not been read yet
        parts = {name: p.to("meta") if isinstance(p, nn.Module) else p for name, p in parts.items()}
    return parts


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
    """Of a model folder's components; none where it is not there, or does not say."""
    path = Path(folder) / "illume.json"
    return read_object(path).get("fingerprints", {}) if path.is_file() else {}


def _published(module: L.LightningModule, recipe: dict[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """A published language model with its text tokenizer, fitted to the encoder and the tokenizer that are there."""
    planned, name = PLANNED.get(), recipe.pop("from")
    sizes: dict[str, Any] = {"source": name if planned is None else planned.source(name)}
    if (encoder := parts.get("encoder")) is not None:
        sizes |= {"feature_width": encoder.width, "see_tokens": encoder.tokens}
    if (tokenizer := parts.get("tokenizer")) is not None:
        sizes |= {"codes": tokenizer.codes, "draw_tokens": tokenizer.tokens}
    published = build(PretrainedLanguage, sizes | recipe, WHERE)
    if planned is not None:
        language, words = published.plan(planned.words(name))
    elif is_filled_later(module):
        language, words = published.plan()
    else:
        language, words = published.load(mapped=module.device_mesh is not None)
    if published.turns == "template" and "strftime_now" in str(words.chat_template):
        rank_zero_warn(
            f"The chat template of {name} asks for today's date: it is told {published.today}, now and when the run "
            f"is resumed ({WHERE}.today)."
        )
    return {"language": language, "text_tokenizer": words}


def join(
    parts: Mapping[str, Any],
    codebook_rows: bool,
    learns: bool,
    understanding: Mapping[str, int] | None,
    slicing: Mapping[str, Any] | None,
) -> Illume:
    """The model, of which nothing but the language model and an understanding encoder can learn.

    Args:
        parts: by name.
        codebook_rows: gives the vision rows the tokenizer's number of codes, laid out as its codebook lies.
        learns: whether seen images get an encoder of their own because it learns.
        understanding: input of that encoder, where it is another than the tokenizer's encoder takes.
        slicing: how seen images are sliced from here on, where they were not before.

    Raises:
        ValueError: parts do not fit each other.
    """
    parts = dict(parts)
    if codebook_rows and parts["language"].vocabulary.codes != parts["tokenizer"].codes:
        parts["language"].resize_codebook(parts["tokenizer"].codes)
    if (learns or understanding) and parts.get("understanding_encoder") is None:
        parts["understanding_encoder"] = copy.deepcopy(parts["encoder"])
    own = parts.get("understanding_encoder")
    if understanding and not hasattr(own, "set_input"):
        raise ValueError(f"a {type(own).__name__} takes one size of images: leave out `understanding`")
    if understanding:
        own.set_input(**understanding)
    if own is not None and not learns:
        own.requires_grad_(False)
    if slicing is not None:
        parts["language"].set_slicing(dict(slicing))
    model = Illume(**parts)
    if (
        codebook_rows and not model.language.vision_head.is_meta
    ):  # there are none in a plan, nor before a checkpoint
        model.language.init_from_codebook(model.tokenizer.codebook)
    for frozen in (model.encoder, model.tokenizer, model.detokenizer):
        if frozen is not None:
            frozen.requires_grad_(False)
    return model


def keep_little(model: Illume, learns: bool) -> None:
    """Activation checkpointing of the trunk, and of a published encoder that learns; ours is small."""
    model.language.trunk.activation_checkpointing_enable({"use_reentrant": False})
    if learns and hasattr(model.understanding_encoder, "activation_checkpointing_enable"):
        model.understanding_encoder.activation_checkpointing_enable()


@dataclass(frozen=True)
class Words:
    """Recipe of a text tokenizer made from nothing.

    Args:
        shards: of documents or pairs, whose words are read.
        size: how many pieces are made of them, bytes among them.
        more: other words that training will use, which would else be spelled by letters.
    """

    shards: str
    size: int
    more: str = ""

    def tokenizer(self, prompts: Prompts) -> PreTrainedTokenizerFast:
        """Learns the pieces."""
        return train_text_tokenizer(self._texts(prompts), self.size)

    def plan(self, prompts: Prompts) -> PreTrainedTokenizerFast:
        """The same, or one of `size` pieces where the shards are not here: few words make fewer pieces."""
        here = all(Path(shard).is_file() for shard in expand_urls(self.shards))
        return self.tokenizer(prompts) if here else blank_text_tokenizer(self.size)

    def _texts(self, prompts: Prompts, limit: int = 20000) -> list[str]:
        """The model's prompts, and texts out of shards of documents, dialogues or raw pairs.

        Raises:
            ValueError: a shard cannot be read to its end, or holds no words; the message names it.
        """
        texts = [*prompts.texts, self.more]
        for shard in self._shards():
            before, odd = len(texts), []
            for sample in _samples(shard):
                try:
                    texts += _texts_of(sample)
                except (
                    ValueError,
                    TypeError,
                    AttributeError,
                    RecursionError,
                ) as error:  # json may hold anything
                    odd.append(f"{sample['__key__']}: {error}")
            if odd:
                log.warning(
                    "%d samples of %s give no words: %s", len(odd), printable(shard), printable(odd[0])
                )
            if len(texts) == before:
                raise ValueError(f"{WORDS}: {shard} holds no words: name shards with txt or json")
            if len(texts) >= limit:
                break
        return texts

    def _shards(self) -> list[str]:
        shards = expand_urls(self.shards)
        for shard in shards:
            if shard.strip().lower().startswith("pipe:"):
                raise ValueError(
                    f"{WORDS}: {shard}: a command is not run: save what it gives and name that file"
                )
            if Path(shard).is_dir() or glob.has_magic(shard):
                raise ValueError(
                    f"{WORDS}: {shard}: name the shards themselves, as folder/{{00000..00009}}.tar"
                )
        return shards


def _samples(shard: str) -> Iterator[Mapping[str, Any]]:
    """The samples of a shard, for every rank alike: each learns the same pieces from the same words."""
    every_rank = iter
    try:
        if Path(shard).is_file():  # at a damaged header tarfile takes the file for ended
            with open(shard, "rb") as file:
                deque(read_members(file), maxlen=0)
        yield from wds.WebDataset(shard, shardshuffle=False, nodesplitter=every_rank, empty_check=False)
    except Exception as error:  # whatever tarfile and its streams come upon in a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{WORDS}: {shard} cannot be read ({reason}): mend it, or leave it out; "
            f"`python -m datamodules.doctor {shard}` says more"
        ) from error


def _texts_of(sample: Mapping[str, Any]) -> list[str]:
    """What is said in a document, in a dialogue, in captions."""
    texts: list[str] = []
    if "json" in sample:
        said = json.loads(sample["json"])
        parts = list(said["parts"]) if "parts" in said else []
        parts += [part for last in parts for way in last.get("branches", ()) for part in way]
        texts += [part["text"] for part in parts if isinstance(part.get("text"), str)]
        turns = said.get("conversations") or said.get("messages") or []
        texts += [
            words for turn in turns for key in ("value", "content") if isinstance(words := turn.get(key), str)
        ]
    return texts + [sample[key].decode() for key in ("txt", "dense.txt") if key in sample]
