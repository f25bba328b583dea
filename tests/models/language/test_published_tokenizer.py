"""Text tokenizers in every layout that models are published in: each loads as what it is, or one line says why not."""

import base64
import json

import pytest
from sentencepiece import SentencePieceProcessor
from transformers import PreTrainedTokenizerFast

from models.document import Text
from models.language.pretrained import PretrainedLanguage
from models.language.published_tokenizer import read_published_tokenizer
from models.language.text_tokenizer import TextEncoder
from models.unified import Illume
from tests.models.language.tiny_models import SIZES, byte_level, publish, publish_sentencepiece

TEXTS = ("describe the image", "USER: draw a cat ASSISTANT:", "2 cats.", "x\ny")


def without_tokenizer(folder, family="llama", **config):
    """A published model without a tokenizer's files, but for its config."""
    publish(folder, family, template=None, rows=400)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
        (folder / name).unlink(missing_ok=True)
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def merges(folder):
    model = json.loads(byte_level(290).backend_tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    lines = [" ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n")


def ranks(path, pieces=(b"de", b"sc")):
    """A tiktoken model: bytes in base64, and their ranks."""
    every = [*(bytes([i]) for i in range(256)), *pieces]
    path.write_text("".join(f"{base64.b64encode(own).decode()} {i}\n" for i, own in enumerate(every)))


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize(
    ("name", "family"), [("LlamaTokenizer", "llama"), ("LlamaTokenizer", "mistral"), ("Unheard", "phi3")]
)
def test_a_sentencepiece_model_alone_loads_and_splits_as_sentencepiece_does(kind, name, family, tmp_path):
    publish_sentencepiece(tmp_path / "llm", name, family, kind)
    language, text_tokenizer = PretrainedLanguage(
        str(tmp_path / "llm"), **SIZES, turns="vicuna", pickled=True
    ).load()
    model = Illume(language=language, text_tokenizer=text_tokenizer)
    model.save_pretrained(str(tmp_path / "model"))
    again = Illume.from_pretrained(str(tmp_path / "model"))
    processor = SentencePieceProcessor(str(tmp_path / "llm" / "tokenizer.model"))
    for text in TEXTS:
        assert (
            TextEncoder(text_tokenizer)(text) == processor.encode(text) == again.sequencer.encode_text(text)
        )
    assert language.turns.end == (text_tokenizer.eos_token_id,) == (2,)
    talk = model.sequencer.segment([Text("draw a cat"), Text("a cat", learn=True)]).ids
    user = processor.encode("USER:")
    assert any(talk[i : i + len(user)] == user for i in range(len(talk)))


@pytest.mark.parametrize("name", ["GPT2Tokenizer", "Qwen2Tokenizer"])
def test_a_vocabulary_with_merges_loads(name, tmp_path):
    merges(without_tokenizer(tmp_path, "qwen2", tokenizer_class=name))
    tokenizer = read_published_tokenizer(str(tmp_path), "main")
    assert tokenizer.decode(tokenizer("describe the image")["input_ids"]) == "describe the image"


@pytest.mark.parametrize("file", ["tokenizer.model", "tiktoken.model"])
def test_a_tiktoken_model_loads(file, tmp_path):
    ranks(without_tokenizer(tmp_path, tokenizer_class="PreTrainedTokenizerFast") / file)
    tokenizer = read_published_tokenizer(str(tmp_path), "main")
    ids = tokenizer("describe", add_special_tokens=False)["input_ids"]
    assert ids[:2] == [256, 257] and tokenizer.decode(ids) == "describe"


def test_word_pieces_load(tmp_path):
    without_tokenizer(tmp_path, tokenizer_class="BertTokenizer")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "describe", "the", "image"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    tokenizer = read_published_tokenizer(str(tmp_path), "main")
    assert tokenizer("describe the image", add_special_tokens=False)["input_ids"] == [5, 6, 7]


def no_file(folder):
    without_tokenizer(folder)


def config_alone(folder):
    without_tokenizer(folder, tokenizer_class="LlamaTokenizer")


def tekken(folder):
    (without_tokenizer(folder, "mistral") / "tekken.json").write_text(
        '{"config": {}, "vocab": [], "special_tokens": []}'
    )


def qwen_one(folder):
    ranks(without_tokenizer(folder, "qwen2", tokenizer_class="QWenTokenizer") / "qwen.tiktoken")


def merges_alone(folder):
    merges(without_tokenizer(folder))


def damaged(folder):
    (without_tokenizer(folder, tokenizer_class="LlamaTokenizer") / "tokenizer.model").write_bytes(
        b"\0\1garbage" * 50
    )


def empty(folder):
    (without_tokenizer(folder, tokenizer_class="LlamaTokenizer") / "tokenizer.model").write_bytes(b"")


def code(folder):
    without_tokenizer(folder, tokenizer_class="Evil", auto_map={"AutoTokenizer": ["evil.Evil", None]})
    (folder / "evil.py").write_text("open('ran', 'w')")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_file, r"it has no tokenizer: tokenizer.json or tokenizer.model"),
        (config_alone, r"its pieces are missing"),
        (tekken, r"\(tekken.json\) does not load: tekken.json needs mistral-common"),
        (qwen_one, r"\(qwen.tiktoken\) does not load: a .tiktoken file is read by its repository's code"),
        (merges_alone, r"\(merges.txt\) does not load: .* tokenizer_config.json with a tokenizer_class"),
        (damaged, r"\(tokenizer.model\) does not load: it is damaged"),
        (empty, r"\(tokenizer.model\) does not load: it is damaged"),
        (code, r"custom code"),
    ],
)
def test_a_missing_file_is_named_in_one_line(make, message, tmp_path):
    make(tmp_path)
    with pytest.raises(ValueError, match=message) as refused:
        PretrainedLanguage(str(tmp_path), **SIZES, turns="own").load()
    assert str(tmp_path) in str(refused.value) and "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


def test_a_slow_tokenizer_is_refused(tmp_path, monkeypatch):
    publish(tmp_path)
    monkeypatch.setattr(PreTrainedTokenizerFast, "is_fast", False)
    with pytest.raises(ValueError, match="cannot be written as a tokenizer.json"):
        read_published_tokenizer(str(tmp_path), "main")
