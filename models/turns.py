"""How the turns of a dialogue are opened and closed: by special tokens of our own, or as a model's chat template does it.

A model made from scratch uses our own tokens. One that was taught to chat keeps its template, so that what it knows is
met where it learned it (`models/language/chat_template.py`); images are opened and closed by our tokens in both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from models.vocabulary import Vocabulary


@dataclass(frozen=True)
class Turns:
    """Ids before all turns, before a message of the user or the model, and after the model's, which are targets."""

    begin: tuple[int, ...]
    user: tuple[int, ...]
    assistant: tuple[int, ...]
    end: tuple[int, ...]

    @property
    def stop(self) -> int:
        """The id that ends an answer: the first of its end."""
        return self.end[0]

    def to_dict(self) -> dict[str, list[int]]:
        """As a config holds them."""
        return {name: list(ids) for name, ids in asdict(self).items()}

    @classmethod
    def of(cls, given: Mapping[str, Sequence[int]] | None, vocabulary: Vocabulary) -> "Turns":
        """Those of a config, which must be ids of text with an end, or our own where it has none."""
        if given is None:
            return cls(*((vocabulary.special(name),) for name in ("begin", "user", "assistant", "end")))
        turns = cls(**{name: tuple(ids) for name, ids in given.items()})
        ids = [i for name in given for i in given[name]]
        if not turns.end or not all(0 <= i < vocabulary.text_size for i in ids):
            raise ValueError(f"turns must be ids below {vocabulary.text_size}, with an end: {dict(given)}")
        return turns

    def lay_out(self, messages: Sequence[Sequence[int]]) -> list[int]:
        """A dialogue as in training: messages are the user's and the model's in turn; it ends where an answer begins."""
        ids = list(self.begin)
        for number, message in enumerate(messages):
            ids += [*self.assistant, *message, *self.end] if number % 2 else [*self.user, *message]
        return ids + list(self.assistant) if len(messages) % 2 else ids
