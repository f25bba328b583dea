"""Text tokenizers: text to ids, pieces learned from scratch, and the tokenizer files of a model folder."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel, Punctuation, WhitespaceSplit
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from common.foreign_files import check_no_pointers
from common.json_files import read_object

FAST = "tokenizer.json"
FILES = ("tokenizer*", "*.model", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json")
MODELS = ("BPE", "Unigram", "WordLevel", "WordPiece")  # of tokenizer.json, as the library knows them
LAYOUT = "1.0"  # the version that tokenizer.json bears


@dataclass(frozen=True)
class TextEncoder:
    """Text to ids without special tokens: text that spells one stays text. It can be sent to a worker process."""

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, text: str) -> list[int]:
        """The ids of a text."""
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def text_rows(tokenizer: PreTrainedTokenizerBase) -> int:
    """Rows that a language model needs for a tokenizer's ids: one more than the largest, for ids may skip numbers."""
    return max(tokenizer.get_vocab().values()) + 1


def train_text_tokenizer(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """Learns `size` pieces from texts; the same texts give the same pieces."""
    tokenizer = Tokenizer(models.BPE())
    # "Is there a red circle?" must give the pieces of "is there a red circle ?", which is how training spells it
    tokenizer.normalizer = normalizers.Lowercase()
    splits = [WhitespaceSplit(), Punctuation("isolated"), ByteLevel(add_prefix_space=True)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False, special_tokens=[])
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def read_tokenizer(folder: Path, rows: int | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer of a model folder, whose language model has so many text rows, where they are known.

    Raises:
        FileNotFoundError: it has no tokenizer.json.
        ValueError: a file is damaged, a pointer of git-lfs, of a newer library, or of another model.
    """
    content = check_tokenizer(folder, needed=True)
    pieces = len(_pieces(content))
    if rows is not None and pieces > rows:
        raise ValueError(
            f"{folder / FAST} has {pieces} pieces, the language model {rows} text rows: they are of different runs"
        )
    try:
        return PreTrainedTokenizerFast.from_pretrained(folder)
    except Exception as error:  # noqa: BLE001 - the library raises whatever the file leads it to
        raise ValueError(_unreadable(folder / FAST, content, error)) from error


def check_tokenizer(folder: Path, needed: bool = False) -> dict[str, Any]:
    """Checks a folder's tokenizer files, ours or published; returns what tokenizer.json holds, if there is one."""
    check_no_pointers(folder, *FILES)
    path = folder / FAST
    if not needed and not path.exists():
        return {}
    content = read_object(path)
    model = content.get("model")
    kind = model.get("type", "BPE") if isinstance(model, Mapping) else None
    if kind not in MODELS or content.get("version", LAYOUT) != LAYOUT:
        raise ValueError(_unreadable(path, content))
    return content


def _unreadable(path: Path, content: Mapping[str, Any], error: Exception | None = None) -> str:
    """The message for a tokenizer.json that is JSON and that the library does not read."""
    model = content.get("model")
    kind = model.get("type") if isinstance(model, Mapping) else None
    cause = f" ({' '.join(str(error).split())[:120]})" if error is not None else ""
    return (
        f"{path} (layout {content.get('version')!r}, model {kind!r}) is not read by tokenizers {version('tokenizers')}"
        f"{cause}: a newer library wrote it, or it is damaged; `pip install -U tokenizers transformers`, or save it "
        "again with these versions"
    )


def _pieces(content: Mapping[str, Any]) -> set[str]:
    """All pieces, the added ones among them."""
    vocabulary, added = content["model"].get("vocab"), content.get("added_tokens")
    pieces = set(vocabulary) if isinstance(vocabulary, Mapping) else set()
    if isinstance(vocabulary, list):  # Unigram: piece and score
        pieces = {str(one[0]) for one in vocabulary if isinstance(one, list) and one}
    more = added if isinstance(added, list) else []
    return pieces | {str(one.get("content")) for one in more if isinstance(one, Mapping)}
