"""The language model as a plain Hugging Face causal LM with its tokenizer.

Special tokens and image codes become ordinary rows behind the text's, under their own ids, so that logits are the same;
its chat template and its end are those of the turns that it was trained with (`models/language/chat_template.py`).
A causal LM has no adapter of seen images and no position embedding within an image: these are left out.
"""

import copy
import json
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from models.language.chat_template import chat_template
from models.language.families import row_factors
from models.language.text_tokenizer import text_rows
from models.language.unified_lm import UnifiedLM
from models.turns import Turns
from models.vocabulary import SPECIAL_TOKENS, Vocabulary


def spell_token(name: str) -> str:
    """The spelling of a special token: <|end|>, <|code_17|>."""
    return f"<|{name}|>"


@torch.no_grad()
def to_causal_lm(language: UnifiedLM) -> PreTrainedModel:
    """The trunk in its own class with whole embeddings; ValueError where its family has no causal LM."""
    config, vocabulary = copy.deepcopy(language.trunk.config), language.vocabulary
    config.vocab_size, config.tie_word_embeddings = vocabulary.size, False
    ends = {
        "bos_token_id": next(iter(language.turns.begin), None),
        "eos_token_id": language.turns.stop if len(language.stop_ids) == 1 else list(language.stop_ids),
        "pad_token_id": vocabulary.special("pad"),
    }
    for name, value in ends.items():
        setattr(config, name, value)
    try:
        model = AutoModelForCausalLM.from_config(config)
    except ValueError as error:
        raise ValueError(f"a trunk of {config.model_type} cannot become a causal LM: {error}") from error
    model.to(language.text_head.dtype).eval()
    own = {name: tensor for name, tensor in language.trunk.state_dict().items() if "embed_tokens" not in name}
    model.base_model.load_state_dict(own, strict=False)
    reads, writes = row_factors(config)  # which the class applies by itself
    embedding = torch.cat([language.text_embedding, language.vision_embedding])
    model.get_input_embeddings().weight.copy_(embedding / reads)
    model.get_output_embeddings().weight.copy_(torch.cat([language.text_head, language.vision_head]) / writes)
    model.generation_config = GenerationConfig(**ends)
    return model


def to_tokenizer(
    text_tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary, turns: Turns
) -> PreTrainedTokenizerBase:
    """The text tokenizer with special tokens and codes under the vocabulary's ids, and with a chat template.

    A name that the tokenizer has already, as Phi-3 has <|user|>, becomes `<|illume_user|>`.

    Raises:
        ValueError: a token does not get its id, or no chat template lays out what the model was trained on.
    """
    taken = text_tokenizer.get_vocab()
    tokenizer = _without_gaps(text_tokenizer)
    rows = text_rows(text_tokenizer)
    names = [_free(f"unused_{i}", taken) for i in range(rows, vocabulary.text_size)]  # of a padded vocabulary
    own = {name: _free(name, taken) for name in SPECIAL_TOKENS}
    names += [*own.values(), *(_free(f"code_{i}", taken) for i in range(vocabulary.codes))]
    tokenizer.add_tokens(
        [AddedToken(name, special=True, normalized=False) for name in names], special_tokens=True
    )
    found: Any = tokenizer.convert_tokens_to_ids(names)
    if found != [*range(rows, vocabulary.size)]:
        wrong = next(i for i, (id_, name) in enumerate(zip(found, names, strict=True)) if id_ != rows + i)
        raise ValueError(
            f"the text tokenizer gives {names[wrong]} the id {found[wrong]}, and the model has it at {rows + wrong}: "
            "this tokenizer cannot be exported"
        )
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(turns.stop)
    tokenizer.pad_token = own["pad"]
    if turns.begin:
        tokenizer.bos_token = tokenizer.convert_ids_to_tokens(turns.begin[0])
    tokenizer.chat_template = chat_template(tokenizer, turns)
    return tokenizer


def _free(name: str, taken: dict[str, int]) -> str:
    """A token's spelling, or another where the tokenizer has such a piece."""
    while spell_token(name) in taken:
        name = f"illume_{name}"
    return spell_token(name)


def _without_gaps(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A copy without gaps in its ids, so that an added token gets the next: a gap gets a piece that no text makes."""
    vocabulary, filled = tokenizer.get_vocab(), copy.deepcopy(tokenizer)
    if gaps := sorted(set(range(text_rows(tokenizer))) - set(vocabulary.values())):
        content = json.loads(filled.backend_tokenizer.to_str())
        if not isinstance(content["model"].get("vocab"), dict):
            raise ValueError(f"the text tokenizer has no piece for {len(gaps)} ids, from {gaps[0]} on")
        content["model"]["vocab"] |= {_free(f"unused_{i}", vocabulary): i for i in gaps}
        filled._tokenizer = Tokenizer.from_str(json.dumps(content))
    return filled
