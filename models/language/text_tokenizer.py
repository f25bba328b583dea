"""Word pieces for a language model made from nothing: byte-level BPE, so that any text can be written."""

from collections.abc import Iterable
from dataclasses import dataclass

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast


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
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation("isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        special_tokens=[],
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)
