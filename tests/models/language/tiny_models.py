"""Tiny published language models of the real classes, as people have them on disk."""

import json
from io import BytesIO

import sentencepiece
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from tests.perturb import perturb

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
FAMILIES = {
    "llama": {},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 16},
    "mistral": {"sliding_window": None},
    "phi3": {"pad_token_id": None, "eos_token_id": 1, "bos_token_id": 0},
}
SIZES = {"codes": 64, "feature_width": 32, "see_tokens": 36, "draw_tokens": 36}


def byte_level(size):
    """As Qwen's: bytes, whitespace kept."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["draw a red circle", "describe the image", "user assistant"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def publish(folder, family="llama", template=CHATML, rows=320, shard="5GB", **more):
    """A tiny published model: weights, config and tokenizer of the real classes; its vocabulary is padded."""
    torch.manual_seed(0)
    tokenizer = byte_level(290)
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    tokenizer.add_tokens(
        [AddedToken(t, special=True) for t in ("<|im_start|>", "<|im_end|>")], special_tokens=True
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"num_key_value_heads": 2, "vocab_size": rows, "max_position_embeddings": 256}
    config = AutoConfig.for_model(family, **(sizes | FAMILIES.get(family, {}) | more))
    perturb(AutoModelForCausalLM.from_config(config)).save_pretrained(folder, max_shard_size=shard)
    return tokenizer


def publish_gap(folder):
    """Ids that skip 20 numbers before the last six words, as OpenAI's vocabularies skip some."""
    publish(folder, rows=340)
    raw = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = raw["model"]["vocab"]
    for text, number in sorted(vocabulary.items(), key=lambda item: item[1])[-6:]:
        vocabulary[text] = number + 20
    for added in raw["added_tokens"]:
        added["id"] += 20
    (folder / "tokenizer.json").write_text(json.dumps(raw))


WORDS = ["draw a red circle", "describe the image", "USER ASSISTANT", "a cat", "which one", "2 cats . ?"]


def train_sentencepiece(kind="bpe", size=320):
    """A SentencePiece model of the given kind (bpe or unigram), trained here."""
    made = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS * 20),
        model_writer=made,
        model_type=kind,
        vocab_size=size,
        byte_fallback=True,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return made.getvalue()


def publish_sentencepiece(folder, tokenizer_class="LlamaTokenizer", family="llama", kind="bpe", **config):
    """As lmsys/vicuna-7b-v1.5: a `tokenizer.model` and no tokenizer.json."""
    publish(folder, family, template=None, rows=400)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
        (folder / name).unlink(missing_ok=True)
    (folder / "tokenizer.model").write_bytes(train_sentencepiece(kind))
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {"add_bos_token": True, "add_eos_token": False, "legacy": False, "pad_token": None}
    settings |= {"sp_model_kwargs": {}, "model_max_length": 4096, "tokenizer_class": tokenizer_class}
    (folder / "tokenizer_config.json").write_text(json.dumps(special | settings | config))
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
