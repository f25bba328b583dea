"""Bounds of a config by the tensors beside it, checked before and while a network is built from it.

A config is anybody's: its sizes may be mistyped or hostile, and a network of 10^9 layers takes all memory on the meta
device, too. No network has more numbers than its files, so building stops as soon as it does.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from common.foreign_files import check_file

MAX_HEADER = 64 * 2**20  # bytes of names and shapes: hundreds of times those of any published model
MAX_NUMBER = 2**24  # above every size and length that is in use
UNBOUNDED = re.compile("theta|seed", re.IGNORECASE)  # settings that are no sizes
LAYERS = re.compile(
    r"(num_)?((hidden|decoder|encoder|num)_)?layers|n_layers?|layers_per_block|depths?", re.IGNORECASE
)
# A network may be built with tensors that are then left out, as a head that nobody reads.
SPARE_TENSORS, SPARE_NUMBERS = 1000, 2**26
Shapes = Mapping[str, tuple[int, ...]]


def read_shapes(files: Sequence[Path]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor by its name, from the headers of safetensors files; ValueError names a broken one."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        check_file(path)
        with path.open("rb") as file:
            header = int.from_bytes(file.read(8), "little")
        if header > min(MAX_HEADER, path.stat().st_size - 8):
            raise ValueError(f"{path} is no safetensors file, or is cut short: get it again")
        try:
            with safe_open(path, framework="pt") as opened:
                shapes |= {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118
        except (SafetensorError, ValueError) as error:
            line = " ".join(str(error).split())[:120]
            raise ValueError(
                f"{path} is no safetensors file, or is damaged or cut short: get it again ({line})"
            ) from None
    return shapes


def check_numbers(config: Any, where: str, shapes: Shapes | None = None) -> None:
    """Raises ValueError where a number of a config, nested dicts and lists, is above what any network has.

    `shapes` are those of the tensors beside it, of which there is at least one for each layer; None: not known.
    """
    for path, value in _numbers(config, ()):
        name = str(path[-1]) if path else ""
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{where}: {'.'.join(path)} is {value}: it must be a finite number")
        if not isinstance(value, int) or UNBOUNDED.search(name):
            continue
        if abs(value) > MAX_NUMBER:
            raise ValueError(f"{where}: {'.'.join(path)} is {value:.3g}; at most {MAX_NUMBER} is read")
        if shapes is not None and LAYERS.fullmatch(name) and value > max(len(shapes), 1):
            raise ValueError(
                f"{where}: {'.'.join(path)} is {value}, and the weights beside it are {len(shapes)} tensors: "
                "they are not of this config"
            )


@contextmanager
def bounded_by(shapes: Shapes, where: str) -> Iterator[None]:
    """Raises ValueError where a network is built that has far more tensors or numbers than `shapes`."""
    tensors = SPARE_TENSORS + 4 * len(shapes)
    numbers = SPARE_NUMBERS + 4 * sum(math.prod(shape) for shape in shapes.values())

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal tensors, numbers
        if parameter is None:
            return
        tensors, numbers = tensors - 1, numbers - parameter.numel()
        if min(tensors, numbers) < 0:
            raise ValueError(
                f"{where} asks for more than the weights beside it hold ({name} of a {type(module).__name__} would "
                f"be {tuple(parameter.shape)}): they are not of this config"
            )

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _numbers(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int | float]]:
    """Every number of a config with its keys; those of a list have the list's key."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value
