"""A part's weights on disk: safetensors in shards, written from and read into memory once.

A part is built on the meta device, where it has shapes and no numbers, and then given its tensors as they are read: so
loading never holds two copies, and no time goes to random numbers that are thrown away. On a CPU a tensor that was read
is a view of its mapped file: it takes memory of its own only once it is written to.
"""

import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)
NAME = "model.safetensors"
INDEX = f"{NAME}.index.json"
SHARD = "5GB"  # what the hub's own tools write, too
TOLD = 5  # names in a message


def save_weights(tensors: dict[str, Tensor], folder: Path, shard: str = SHARD) -> None:
    """Writes tensors into `folder`, as one file or, where they are large, as several with an index.

    Raises:
        OSError: the disk is full, or does not do as it is told.
    """
    plan = split_torch_state_dict_into_shards(
        tensors, filename_pattern="model{suffix}.safetensors", max_shard_size=shard
    )
    for name, keys in plan.filename_to_tensors.items():
        _write({key: tensors[key].contiguous().cpu() for key in keys}, folder / name)
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    kept = {*plan.filename_to_tensors, INDEX if plan.is_sharded else ""}
    for old in folder.glob("model*.safetensors*"):  # of an export that was cut otherwise
        if old.name not in kept:
            old.unlink()


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # the library hides what the system said
        full = f"os error {errno.ENOSPC}" in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(path)) from error


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a folder's weights.

    Raises:
        FileNotFoundError: there are none, or some that the index names are missing; the message names and counts them.
    """
    if not (folder / INDEX).is_file():
        if not (folder / NAME).is_file():
            raise FileNotFoundError(f"{folder} has no weights: neither {NAME} nor {INDEX} is in it")
        return [folder / NAME]
    names = sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))
    if any(Path(name).name != name for name in names):
        raise ValueError(f"{folder / INDEX} names files outside its folder")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {len(missing)} of {len(names)} files: {told(missing)}")
    return [folder / name for name in names]


def told(names: list[str]) -> str:
    """A few of the names, and how many more there are."""
    more = f" and {len(names) - TOLD} more" if len(names) > TOLD else ""
    return ", ".join(names[:TOLD]) + more


def read_tensors(files: list[Path]) -> Iterator[tuple[str, Tensor]]:
    """Each tensor of safetensors files under its name, one at a time."""
    for path in files:
        with safe_open(path, framework="pt") as opened:
            for key in opened.keys():  # noqa: SIM118 (it is no dict)
                yield key, opened.get_tensor(key)


def load_weights(build: Callable[[], Module], folder: Path) -> Module:
    """Builds a part without weights and gives it those of `folder`.

    Raises:
        FileNotFoundError: files are missing.
        ValueError: tensors are missing, unknown, or of another shape; the message names and counts them.
    """
    files = weight_files(folder)
    with torch.device("meta"):
        module = build()
    set_tensors(module, read_tensors(files), folder)
    fill_buffers(module)
    return module


def set_tensors(module: nn.Module, tensors: Iterator[tuple[str, Tensor]], source: object) -> None:
    """Puts tensors in the places of a module's own, on whatever device and of whatever type they are.

    Raises:
        ValueError: tensors are missing, unknown, or of another shape; the message names and counts them.
    """
    wanted, unknown, unlike = module.state_dict(), [], []
    for name, tensor in tensors:
        if name not in wanted:
            unknown.append(name)
        elif (there := wanted.pop(name)).shape != tensor.shape:
            unlike.append(f"{name} {tuple(tensor.shape)} for {tuple(there.shape)}")
        else:
            _place(module, name, _laid_out_as(there, tensor))
    for names, what in ((list(wanted), "lacks"), (unknown, "has unknown"), (unlike, "has misshapen")):
        if names:
            raise ValueError(f"{source} {what} {len(names)} tensors: {told(names)}")


def _laid_out_as(meta: Tensor, tensor: Tensor) -> Tensor:
    """The tensor with the strides of another, as convolutions for a CPU have their own."""
    if meta.stride() == tensor.stride():
        return tensor
    return torch.empty_strided(meta.shape, meta.stride(), dtype=tensor.dtype).copy_(tensor)


def _place(module: nn.Module, name: str, tensor: Tensor) -> None:
    owner_name, _, own = name.rpartition(".")
    owner = module.get_submodule(owner_name)
    if own in owner._parameters:
        owner._parameters[own] = nn.Parameter(tensor, owner._parameters[own].requires_grad)
    else:
        owner._buffers[own] = tensor


def make_room(module: nn.Module, device: torch.device) -> None:
    """Gives what is on the meta device memory without numbers, for a checkpoint to fill; what is in none is made anew."""
    fill_buffers(module)
    module._apply(lambda tensor: torch.empty_like(tensor, device=device) if tensor.is_meta else tensor)


def fill_buffers(module: nn.Module) -> None:
    """Makes anew what is in no file: rotary frequencies and place numbers of `transformers`' modules.

    Raises:
        ValueError: a buffer is of a module that cannot be made from its config.
    """
    for name, owner in module.named_modules():
        unsaved = owner._non_persistent_buffers_set
        empty = [key for key, b in owner._buffers.items() if b is not None and b.is_meta and key in unsaved]
        if not empty:
            continue
        config = getattr(owner, "config", None)
        if config is None:
            raise ValueError(
                f"{name or 'the part'} ({type(owner).__name__}) has {empty}, which no file holds"
            )
        fresh = type(owner)(config)
        for key in empty:
            owner._buffers[key] = fresh._buffers[key]
