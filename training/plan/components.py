"""Parameters by component, as they are counted: those of the paper's table 5, and of the image stages."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from lightning_modules.stage_module import StageModule
from models.language.unified_lm import UnifiedLM

DETOKENIZER = "detokenizer"  # whose own components are counted apart: some learn and some do not


class ComponentSize(NamedTuple):
    """Parameters of one component, and how many of them learn."""

    name: str
    count: int
    learning: int


def component_sizes(stage: StageModule) -> list[ComponentSize]:
    """The components of a configured stage; each parameter is of one, and none is left out."""
    counted: set[int] = set()
    sizes = []
    for name, parameters in _named([*stage.model.named_children(), *stage.named_children()]):
        own = [p for p in parameters if id(p) not in counted]
        counted |= {id(p) for p in own}
        if own:
            learning = sum(p.numel() for p in own if p.requires_grad)
            sizes.append(ComponentSize(name, sum(p.numel() for p in own), learning))
    return sizes


def _named(children: list[tuple[str, nn.Module]]) -> Iterator[tuple[str, list[nn.Parameter]]]:
    for name, child in children:
        if isinstance(child, UnifiedLM):
            yield from child.param_groups().items()
            unused = child.trunk.get_input_embeddings().weight
            yield "trunk (frozen)", [p for p in child.trunk.parameters() if p is not unused]
            yield "trunk (unused)", [unused]
        elif name == DETOKENIZER:
            yield from (
                (inner, list(grandchild.parameters())) for inner, grandchild in child.named_children()
            )
        else:
            yield name, list(child.parameters())
