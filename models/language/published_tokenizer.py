"""The text tokenizer of a published model, from whichever files it has, or a line that names what is missing.

`transformers` reads tokenizer.json, SentencePiece's and tiktoken's models, and vocabularies with merges. Of a file that
it does not know it makes a tokenizer of no pieces without a word, and of some SentencePiece models one that drops the
space before a text: what comes out is held against what it was read from.
"""

from pathlib import Path

from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer, decoders, normalizers
from tokenizers.normalizers import Normalizer
from transformers import AutoTokenizer, LlamaTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import cached_file

from models.language.tokenizer_files import check_tokenizer
from models.published import read_published

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
    "tokenizer_config.json": f"what holds its pieces is missing: tokenizer.json, or tokenizer.model, or {FAST}",
    "*": "no tokenizer lies in it: tokenizer.json or tokenizer.model, and tokenizer_config.json, are missing",
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
        said = " ".join(str(error).split()).removeprefix(f"{source} does not load: ")[:160]
        raise ValueError(f"{_missing(folder)} ({said})") from error
    if not ids or all(i == tokenizer.unk_token_id for i in ids):
        where = (
            _missing(folder)
            if folder
            else f"the tokenizer of {source}: its pieces are in no file that is read"
        )
        raise ValueError(f"{where} ({type(tokenizer).__name__} makes nothing of {PROBES[0]!r})")
    if not tokenizer.is_fast:
        raise ValueError(
            f"the tokenizer of {source} is a {type(tokenizer).__name__}, which cannot be written as a tokenizer.json, "
            "and a model folder holds one: convert it, or take another model"
        )
    return tokenizer


def _missing(folder: Path) -> str:
    found = next(
        (name, path) for name in MISSING for path in [*sorted(folder.glob(name)), None] if path or name == "*"
    )
    name, path = found
    there = f" ({path.name})" if path is not None and name != "*" else ""
    return f"the tokenizer of {folder}{there} does not load: {MISSING[name]}"


def _as_sentencepiece(
    tokenizer: PreTrainedTokenizerBase, source: str, revision: str
) -> PreTrainedTokenizerBase:
    """The tokenizer, or another of the same SentencePiece model that splits words as that does.

    Raises:
        ValueError: there is none.
    """
    if _file(source, revision, "tokenizer.json") is not None:
        return tokenizer
    path = next((p for name in SENTENCEPIECE if (p := _file(source, revision, name)) is not None), None)
    if path is None:
        return tokenizer
    processor = SentencePieceProcessor()
    try:
        processor.LoadFromFile(path)
    except (OSError, RuntimeError):  # of tiktoken, which bears the same name
        return tokenizer
    wanted = [processor.encode(text, out_type=str) for text in PROBES]
    for read in (None, LlamaTokenizer, PreTrainedTokenizerFast):
        made = tokenizer if read is None else read_published(read.from_pretrained, source, revision)
        if read is PreTrainedTokenizerFast and isinstance(made.backend_tokenizer.normalizer, Normalizer):
            _prepend_space(made.backend_tokenizer)
        if [made.tokenize(text) for text in PROBES] == wanted:
            return made
    raise ValueError(
        f"{type(tokenizer).__name__} splits {PROBES[1]!r} into {tokenizer.tokenize(PROBES[1])[:6]}, its SentencePiece "
        f"model into {wanted[1][:6]}"
    )


def _prepend_space(backend: Tokenizer) -> None:
    """Begins each text with the space that SentencePiece puts before it, and takes it away from what is written."""
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), backend.normalizer])
    backend.decoder = decoders.Sequence([backend.decoder, decoders.Strip(" ", 1, 0)])


def _file(source: str, revision: str, name: str) -> str | None:
    """Where a file of a folder or a name lies; None: it has none."""
    options = {
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
    }
    try:
        return cached_file(source, name, revision=revision, **options)
    except OSError:
        return None
