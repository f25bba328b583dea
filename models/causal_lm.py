"""The language model as a plain Hugging Face causal LM with its tokenizer: for whatever runs those.

Special tokens and image codes become ordinary rows behind the text's, under their own ids, so that logits are the same.
What a causal LM has no place for stays behind: the adapter of seen images, and learned rows for places in an image.
"""

import copy

import torch
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from models.language.unified_lm import UnifiedLM
from models.vocabulary import SPECIAL_TOKENS, Vocabulary

CHAT = (
    "{{ '<|begin|>' }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] + '<|end|>' }}"
    "{% elif loop.first or loop.previtem['role'] == 'assistant' %}{{ '<|user|>' + message['content'] }}"
    "{% else %}{{ ' ' + message['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def spelled(name: str) -> str:
    """How a token is spelled that text has no word for: <|end|>, <|code_17|>."""
    return f"<|{name}|>"


@torch.no_grad()
def to_causal_lm(language: UnifiedLM) -> PreTrainedModel:
    """The trunk with one table of all rows to read and one to write, in the trunk's own class.

    Raises:
        ValueError: the trunk's family has no causal LM.
    """
    config, vocabulary = copy.deepcopy(language.trunk.config), language.vocabulary
    config.vocab_size, config.tie_word_embeddings = vocabulary.size, False
    config.bos_token_id, config.eos_token_id = vocabulary.special("begin"), vocabulary.special("end")
    config.pad_token_id = vocabulary.special("pad")
    try:
        model = AutoModelForCausalLM.from_config(config)
    except ValueError as error:
        raise ValueError(f"a trunk of {config.model_type} cannot become a causal LM: {error}") from error
    model.to(language.text_head.dtype).eval()
    own = {name: tensor for name, tensor in language.trunk.state_dict().items() if "embed_tokens" not in name}
    model.base_model.load_state_dict(own, strict=False)
    rows = torch.cat([language.text_embedding, language.vision_embedding])
    model.get_input_embeddings().weight.copy_(rows)
    model.get_output_embeddings().weight.copy_(torch.cat([language.text_head, language.vision_head]))
    return model


def to_tokenizer(text_tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary) -> PreTrainedTokenizerBase:
    """A tokenizer that also spells special tokens and codes, under this vocabulary's ids, and lays out a chat."""
    tokenizer = copy.deepcopy(text_tokenizer)
    unused = range(len(tokenizer), vocabulary.text_size)  # rows of a padded vocabulary
    names = [*(f"unused_{i}" for i in unused), *SPECIAL_TOKENS]
    names += [f"code_{i}" for i in range(vocabulary.codes)]
    tokenizer.add_tokens(
        [AddedToken(spelled(name), special=True, normalized=False) for name in names], special_tokens=True
    )
    tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token = map(spelled, ("begin", "end", "pad"))
    tokenizer.chat_template = CHAT
    return tokenizer
