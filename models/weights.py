"""A part's weights on disk: safetensors in shards, written from and read into memory once.

A part is built on the meta device, where it has shapes and no numbers, and then given its tensors as they are read: so
loading never holds two copies, and no time goes to random numbers that are thrown away. On a CPU a tensor that was read
is a view of its mapped file: it takes memory of its own only once it is written to.
"""

import errno
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from common.files import write_text
from common.foreign_files import check_file
from common.json_files import read_object
from models.bounds import bounded_by, read_shapes

Module = TypeVar("Module", bound=nn.Module)
NAME = "model.safetensors"
INDEX = f"{NAME}.index.json"
SHARD = "5GB"  # what the hub's own tools write, too
MAX_LISTED = 5  # names in a message
FINGERPRINT = "fingerprint"  # what a file's own metadata calls it
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def save_weights(tensors: dict[str, Tensor], folder: Path, shard: str = SHARD) -> str:
    """Writes tensors into `folder`, as one file or, where they are large, as several with an index.

    Returns:
        Their fingerprint, which each file holds, too.

    Raises:
        OSError: the disk is full, or does not do as it is told.
    """
    plan = split_torch_state_dict_into_shards(
        tensors, filename_pattern="model{suffix}.safetensors", max_shard_size=shard
    )
    fingerprint = hash_tensors(tensors)
    for name, keys in plan.filename_to_tensors.items():
        _write({key: tensors[key].contiguous().cpu() for key in keys}, folder / name, fingerprint)
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")
    kept = {*plan.filename_to_tensors, INDEX if plan.is_sharded else ""}
    for old in folder.glob("model*.safetensors*"):  # of an export that was cut otherwise
        if old.name not in kept:
            old.unlink()
    return fingerprint


def open_to_readers(folder: Path, like: str = "config.json") -> None:
    """Lets whoever may read one file of a folder read its weights: safetensors makes them their writer's alone."""
    mode = (folder / like).stat().st_mode
    for path in folder.glob("*.safetensors"):
        path.chmod(mode)


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Sixteen hex digits that name tensors: their names, types, shapes and numbers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def check_fingerprint(folder: Path, fingerprint: str) -> None:
    """Makes sure that weights are those that were written together with what says their fingerprint.

    Files that say none, as those that another program wrote, are not held against it.

    Raises:
        ValueError: they are of another model.
    """
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as opened:
            found = (opened.metadata() or {}).get(FINGERPRINT, fingerprint)
        if found != fingerprint:
            raise ValueError(
                f"{path} is of another model than the folder's illume.json: copy the whole folder again, or put a "
                "component in by `python -m models.export`"
            )


def _write(tensors: dict[str, Tensor], path: Path, fingerprint: str) -> None:
    try:
        save_file(
            tensors, path, {FINGERPRINT: fingerprint}
        )  # of several keys the order would differ each time
    except SafetensorError as error:  # the library hides what the system said
        full = f"os error {errno.ENOSPC}" in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(path)) from error


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a folder's weights.

    Raises:
        FileNotFoundError: there are none, or some that the index names are missing; the message names and counts them.
        ValueError: one is a pointer of git-lfs or no file at all, or the index is damaged.
    """
    index = folder / INDEX
    if not index.is_file():
        if not (folder / NAME).exists() and not (folder / NAME).is_symlink():
            raise FileNotFoundError(f"{folder} has no weights: neither {NAME} nor {INDEX} is in it")
        check_file(folder / NAME)
        return [folder / NAME]
    named = read_object(index).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
        raise ValueError(f"{index} is no index of weights: it lacks a weight_map from tensors to files")
    names = sorted(set(named.values()))
    if any(Path(name).name != name for name in names):
        raise ValueError(f"{index} names files outside its folder")
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {len(missing)} of {len(names)} files: {list_names(missing)}")
    for name in names:
        check_file(folder / name)
    return [folder / name for name in names]


def list_names(names: list[str]) -> str:
    """A few of the names, and how many more there are."""
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more


def read_tensors(files: list[Path]) -> Iterator[tuple[str, Tensor]]:
    """Each tensor of safetensors files under its name, one at a time."""
    for path in files:
        with safe_open(path, framework="pt") as opened:
            for key in opened.keys():  # noqa: SIM118 (it is no dict)
                yield key, opened.get_tensor(key)


def load_weights(build: Callable[[], Module], folder: Path, as_stored: bool = False) -> Module:
    """Builds a part without weights and gives it those of `folder`.

    Args:
        build: makes it, here on the meta device.
        folder: that has the weights.
        as_stored: whether halves stay halves, as a large language model's do; else all is brought to single precision.

    Raises:
        FileNotFoundError: files are missing.
        ValueError: tensors are missing, unknown, of another shape or kind, or hold what is no number; the message names
            them.
    """
    files = weight_files(folder)
    with torch.device("meta"), bounded_by(read_shapes(files), str(folder / "config.json")):
        module = build()
    set_tensors(module, read_tensors(files), folder, as_stored)
    fill_buffers(module)
    return module


def set_tensors(
    module: nn.Module, tensors: Iterator[tuple[str, Tensor]], source: object, as_stored: bool = True
) -> None:
    """Puts tensors in the places of a module's own, on whatever device and of whatever type they are.

    Args:
        module: to fill.
        tensors: by name.
        source: what an error calls it.
        as_stored: whether halves stay halves; double precision never stays, as nothing here computes in it.

    Raises:
        ValueError: tensors are missing, unknown, of another shape or kind, or hold what is no number; the message names
            and counts them.
    """
    wanted, unknown, unlike, broken = module.state_dict(), [], [], []
    for name, tensor in tensors:
        if name not in wanted:
            unknown.append(name)
        elif (there := wanted.pop(name)).shape != tensor.shape:
            unlike.append(f"{name} {tuple(tensor.shape)} for {tuple(there.shape)}")
        elif there.is_floating_point() != (tensor.dtype in FLOATS):
            unlike.append(f"{name} {tensor.dtype} for {there.dtype}")
        else:
            if tensor.dtype in FLOATS and (not as_stored or tensor.dtype == torch.float64):
                tensor = tensor.float()
            if not is_finite(tensor):
                broken.append(name)
            _place(module, name, _laid_out_as(there, tensor))
    for names, what in ((list(wanted), "lacks"), (unknown, "has unknown"), (unlike, "has misshapen")):
        if names:
            raise ValueError(f"{source} {what} {len(names)} tensors: {list_names(names)}")
    check_finite(broken, source)


def check_finite(broken: list[str], source: object) -> None:
    """Refuses weights of which some hold NaN or infinity.

    Raises:
        ValueError: there are such; the message names and counts the tensors.
    """
    if broken:
        raise ValueError(
            f"{source} holds NaN or infinity in {len(broken)} tensors: {list_names(broken)}; its training diverged: take an "
            "earlier checkpoint or folder"
        )


def check_finite_module(module: nn.Module, source: object) -> None:
    """Refuses weights that a library has loaded, as `check_finite` does."""
    check_finite([name for name, tensor in module.state_dict().items() if not is_finite(tensor)], source)


def is_finite(tensor: Tensor) -> bool:
    """Whether a tensor has neither NaN nor infinity; in one pass, ten times faster than torch.isfinite."""
    if not tensor.numel() or tensor.is_meta or not tensor.is_floating_point():
        return True
    return all(bool(end.isfinite()) for end in tensor.detach().aminmax())


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


def materialize(module: nn.Module, device: torch.device) -> None:
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
