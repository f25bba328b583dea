"""Parameters by part, as they are counted: those of the paper's table 5, and of the image stages."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lightning.pytorch import LightningModule
from torch import nn

from models.language.unified_lm import UnifiedLM

DETOKENIZER = "detokenizer"  # whose own parts are told apart: some learn and some do not


class Part(NamedTuple):
    """Parameters of one part, and how many of them learn."""

    name: str
    parameters: list[nn.Parameter]

    @property
    def count(self) -> int:
        """All of them."""
        return size(self.parameters)

    @property
    def learning(self) -> int:
        """Those that learn."""
        return size(p for p in self.parameters if p.requires_grad)


def size(parameters: Iterable[nn.Parameter]) -> int:
    """Numbers in all of them."""
    return sum(p.numel() for p in parameters)


def parts_in(module: LightningModule) -> list[Part]:
    """The parts of a configured module; each parameter is of one, and none is left out."""
    model = getattr(module, "model", None) or module
    seen: set[int] = set()
    found = []
    for name, parameters in _named(model):
        own = [p for p in parameters if id(p) not in seen]
        seen |= {id(p) for p in own}
        if own:
            found.append(Part(name, own))
    return found


def _named(model: nn.Module) -> Iterator[tuple[str, list[nn.Parameter]]]:
    for name, child in model.named_children():
        if isinstance(child, UnifiedLM):
            yield from child.param_groups().items()
            unused = child.trunk.get_input_embeddings().weight
            yield "trunk (frozen)", [p for p in child.trunk.parameters() if p is not unused]
            yield "trunk (unused)", [unused]
        elif name == DETOKENIZER:
            for inner, grandchild in child.named_children():
                yield inner, list(grandchild.parameters())
        else:
            yield name, list(child.parameters())
