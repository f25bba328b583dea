"""The text tokenizer of a published model, from whichever files it has, or a line that names what is missing.

`transformers` reads tokenizer.json, SentencePiece's and tiktoken's models, and vocabularies with merges. Of a file that
it does not know it silently makes a tokenizer of no pieces, and of some SentencePiece models one that drops the space
before a text: the result is held against what it was read from.
"""

from pathlib import Path

from sentencepiece import SentencePieceProcessor
from tokenizers import decoders, normalizers
from tokenizers.normalizers import Normalizer
from transformers import AutoTokenizer, LlamaTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from models.language.text_tokenizer import check_tokenizer
from models.published import find_file, read_published

PROBES = ("describe the image", "USER: draw a cat ASSISTANT:", "2 cats.")
SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
FAST = "a tokenizer.json, as the library's `save_pretrained` writes it"
# What is missing, by the file that is there.
MISSING = {
    "tekken.json": f"tekken.json needs mistral-common, and is not read here: put beside it {FAST}",
    "*.tiktoken": f"a .tiktoken file is read by its repository's code, which is never run: put beside it {FAST}",
    "merges.txt": "vocab.json and merges.txt do not say how words are split: tokenizer_config.json with a "
    f"tokenizer_class of transformers is missing, or {FAST}",
    "*.model": f"it is damaged, or of a kind that transformers does not know: get it again, or {FAST}",
    "vocab.txt": f"tokenizer_config.json with a tokenizer_class of transformers is missing, or {FAST}",
    "tokenizer.json": "it is damaged, or of a newer library: `pip install -U tokenizers transformers`",
    "tokenizer_config.json": f"its pieces are missing: tokenizer.json, or tokenizer.model, or {FAST}",
}


def read_published_tokenizer(source: str, revision: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a local folder, or of a name on the hub.

    Raises:
        FileNotFoundError: there is no such folder or name.
        ValueError: its files do not load, or load as something else; the message names what is missing.
    """
    folder = Path(source) if Path(source).is_dir() else None
    if folder is not None:
        check_tokenizer(folder)
    try:
        tokenizer = read_published(AutoTokenizer.from_pretrained, source, revision)
        tokenizer = _as_sentencepiece(tokenizer, source, revision)
        ids = tokenizer(PROBES[0], add_special_tokens=False)["input_ids"]
    except ValueError as error:
        if folder is None:
            raise
        cause = " ".join(str(error).split()).removeprefix(f"{source} does not load: ")[:160]
        raise ValueError(f"{_missing(folder)} ({cause})") from error
    if not ids or all(i == tokenizer.unk_token_id for i in ids):
        unread = f"the tokenizer of {source}: its pieces are in no file that is read"
        where = unread if folder is None else _missing(folder)
        raise ValueError(f"{where} ({type(tokenizer).__name__} makes nothing of {PROBES[0]!r})")
    if not tokenizer.is_fast:
        raise ValueError(
            f"the tokenizer of {source} is a {type(tokenizer).__name__}, which cannot be written as a tokenizer.json, "
            "and a model folder holds one: convert it, or take another model"
        )
    return tokenizer


def _missing(folder: Path) -> str:
    for name, what in MISSING.items():
        if path := next(iter(sorted(folder.glob(name))), None):
            return f"the tokenizer of {folder} ({path.name}) does not load: {what}"
    files = "tokenizer.json or tokenizer.model, and tokenizer_config.json"
    return f"the tokenizer of {folder} does not load: it has no tokenizer: {files}, are missing"


def _as_sentencepiece(
    tokenizer: PreTrainedTokenizerBase, source: str, revision: str
) -> PreTrainedTokenizerBase:
    """The tokenizer, or another of the same SentencePiece model that splits text as that does."""
    if find_file(source, revision, "tokenizer.json") is not None:
        return tokenizer
    path = next((p for name in SENTENCEPIECE if (p := find_file(source, revision, name)) is not None), None)
    if path is None:
        return tokenizer
    processor = SentencePieceProcessor()
    try:
        processor.LoadFromFile(str(path))
    except (OSError, RuntimeError):  # of tiktoken, which bears the same name
        return tokenizer
    wanted = [processor.encode(text, out_type=str) for text in PROBES]
    for read in (None, LlamaTokenizer, PreTrainedTokenizerFast):
        candidate = tokenizer if read is None else read_published(read.from_pretrained, source, revision)
        if read is PreTrainedTokenizerFast and isinstance(candidate.backend_tokenizer.normalizer, Normalizer):
            # SentencePiece begins a text with a space, and writes it without
            backend = candidate.backend_tokenizer
            backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), backend.normalizer])
            backend.decoder = decoders.Sequence([backend.decoder, decoders.Strip(" ", 1, 0)])
        if [candidate.tokenize(text) for text in PROBES] == wanted:
            return candidate
    raise ValueError(
        f"{type(tokenizer).__name__} splits {PROBES[1]!r} into {tokenizer.tokenize(PROBES[1])[:6]}, its SentencePiece "
        f"model into {wanted[1][:6]}"
    )
