"""One vocabulary: the language model's text ids, then special tokens, then one id for each image code.

The special tokens are new rows like the codes, so text can never spell them (no token injection).
"""

from dataclasses import dataclass

SPECIAL_TOKENS = ("begin", "user", "assistant", "end", "begin_image", "end_image", "pad")


@dataclass(frozen=True)
class Vocabulary:
    """The layout of ids: rows of the language model's own vocabulary, and size of the codebook (16,384 in the paper)."""

    text_size: int
    codes: int

    @property
    def first_code(self) -> int:
        """Id of image code 0."""
        return self.text_size + len(SPECIAL_TOKENS)

    @property
    def vision_size(self) -> int:
        """New rows: special tokens and codes."""
        return len(SPECIAL_TOKENS) + self.codes

    @property
    def size(self) -> int:
        """All ids."""
        return self.text_size + self.vision_size

    def special(self, name: str) -> int:
        """Id of a special token."""
        return self.text_size + SPECIAL_TOKENS.index(name)
