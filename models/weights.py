"""A component's weights on disk: safetensors in shards, written from and read into memory once.

A component is built on the meta device, where it has shapes and no numbers, and then given its tensors as they are read:
loading never holds two copies, and draws no random numbers. On a CPU a tensor that was read is a view of its mapped file:
it takes memory of its own only once it is written to.
"""

import errno
import hashlib
import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from zipfile import is_zipfile

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PretrainedConfig

from common.files import write_text
from common.foreign_files import check_file
from common.json_files import read_object
from models.bounds import bounded_by, read_shapes

Module = TypeVar("Module", bound=nn.Module)
NAME = "model.safetensors"
INDEX = f"{NAME}.index.json"
SHARD_SIZE = "5GB"  # what the hub's own tools write, too
MAX_LISTED = 5  # names in a message
FINGERPRINT = "fingerprint"  # what a file's own metadata calls it
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def save_weights(tensors: Mapping[str, Tensor], folder: Path, shard_size: str = SHARD_SIZE) -> str:
    """Writes tensors into a folder, as one file or as several with an index; returns their fingerprint."""
    plan = split_torch_state_dict_into_shards(
        dict(tensors), filename_pattern="model{suffix}.safetensors", max_shard_size=shard_size
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


def _write(tensors: dict[str, Tensor], path: Path, fingerprint: str) -> None:
    try:  # metadata of a single key: of several the order would differ each time
        save_file(tensors, path, {FINGERPRINT: fingerprint})
    except SafetensorError as error:  # the library hides the system's error
        full = f"os error {errno.ENOSPC}" in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(path)) from error


def open_to_readers(folder: Path, like: str = "config.json") -> None:
    """Gives a folder's weights the permissions of one of its files: safetensors makes them their writer's alone."""
    mode = (folder / like).stat().st_mode
    for path in folder.glob("*.safetensors"):
        path.chmod(mode)


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Sixteen hex digits for tensors: their names, dtypes, shapes and numbers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        content: Any = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        digest.update(content)
    return digest.hexdigest()[:16]


def check_fingerprint(folder: Path, fingerprint: str) -> None:
    """Raises ValueError where a folder's weights hold another fingerprint; those of other programs hold none."""
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as opened:
            found = (opened.metadata() or {}).get(FINGERPRINT, fingerprint)
        if found != fingerprint:
            raise ValueError(
                f"{path} is of another model than the folder's illume.json: copy the whole folder again, or put a "
                "component in by `python -m models.export`"
            )


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a folder's weights.

    Raises:
        FileNotFoundError: there are none, or some that the index names are missing; the message names and counts them.
        ValueError: one is a pointer of git-lfs or no file at all, or the index is damaged.
    """
    if (folder / INDEX).is_file():
        return indexed_files(folder / INDEX)
    if not (folder / NAME).exists() and not (folder / NAME).is_symlink():
        raise FileNotFoundError(f"{folder} has no weights: neither {NAME} nor {INDEX} is in it")
    check_file(folder / NAME)
    return [folder / NAME]


def indexed_files(index: Path) -> list[Path]:
    """The files of weights that an index names; errors as of `weight_files`."""
    named = read_object(index).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
        raise ValueError(f"{index} is no index of weights: it lacks a weight_map from tensors to files")
    names = sorted(set(named.values()))
    if strange := [name for name in names if Path(name).name != name]:
        raise ValueError(f"{index} names files outside its folder: {strange[0]}")
    missing = [name for name in names if not (index.parent / name).exists()]
    if missing:
        raise FileNotFoundError(
            f"{index.parent} lacks {len(missing)} of {len(names)} files: {list_names(missing)}"
        )
    for name in names:
        check_file(index.parent / name)
    return [index.parent / name for name in names]


def list_names(names: Iterable[str]) -> str:
    """A few of the names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more


def read_tensors(files: Iterable[Path]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of files, one at a time; a pickle is read with weights_only. ValueError names a broken file."""
    for path in files:
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt") as opened:
                    yield from ((key, opened.get_tensor(key)) for key in opened.keys())  # noqa: SIM118 (it is no dict)
            else:
                yield from torch.load(
                    path, map_location="cpu", mmap=is_zipfile(path), weights_only=True
                ).items()
        except (SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
            raise ValueError(f"{path} does not load: {' '.join(str(error).split())[:200]}") from error


def load_weights(build: Callable[[], Module], folder: Path, as_stored: bool = False) -> Module:
    """Builds a component on the meta device and gives it the weights of a folder; errors as of `set_tensors`."""
    files = weight_files(folder)
    with torch.device("meta"), bounded_by(read_shapes(files), str(folder / "config.json")):
        module = build()
    set_tensors(module, read_tensors(files), folder, as_stored)
    fill_buffers(module)
    return module


def set_tensors(
    module: nn.Module, tensors: Iterable[tuple[str, Tensor]], source: object, as_stored: bool = True
) -> None:
    """Replaces a module's tensors by others of their names, on whatever device and of whatever dtype these are.

    Unless `as_stored` keeps halves, all is brought to single precision, as double precision always is.

    Raises:
        ValueError: tensors are missing, unknown, of another shape or kind, or hold NaN or infinity; the message names
            their source, and names and counts them.
    """
    wanted = module.state_dict()
    unknown, misshapen, broken = [], [], []
    for name, tensor in tensors:
        if name not in wanted:
            unknown.append(name)
        elif (own := wanted.pop(name)).shape != tensor.shape:
            misshapen.append(f"{name} {tuple(tensor.shape)} for {tuple(own.shape)}")
        elif own.is_floating_point() != (tensor.dtype in FLOATS):
            misshapen.append(f"{name} {tensor.dtype} for {own.dtype}")
        else:
            if tensor.dtype in FLOATS and (not as_stored or tensor.dtype == torch.float64):
                tensor = tensor.float()
            if not is_finite(tensor):
                broken.append(name)
            if own.stride() != tensor.stride():  # convolutions for a CPU have a layout of their own
                tensor = torch.empty_strided(own.shape, own.stride(), dtype=tensor.dtype).copy_(tensor)
            _set_tensor(module, name, tensor)
    for names, what in ((list(wanted), "lacks"), (unknown, "has unknown"), (misshapen, "has misshapen")):
        if names:
            raise ValueError(f"{source} {what} {len(names)} tensors: {list_names(names)}")
    check_finite(broken, source)


def _set_tensor(module: nn.Module, name: str, tensor: Tensor) -> None:
    owner_name, _, own = name.rpartition(".")
    owner = module.get_submodule(owner_name)
    if (old := owner._parameters.get(own)) is not None:
        owner._parameters[own] = nn.Parameter(tensor, old.requires_grad)
    else:
        owner._buffers[own] = tensor


def check_finite(broken: list[str], source: object) -> None:
    """Raises ValueError where there are tensors with NaN or infinity: the message names and counts them."""
    if broken:
        raise ValueError(
            f"{source} holds NaN or infinity in {len(broken)} tensors: {list_names(broken)}; its training diverged: "
            "take an earlier checkpoint or folder"
        )


def check_finite_module(module: nn.Module, source: object) -> None:
    """`check_finite` for weights that a library has loaded."""
    check_finite([name for name, tensor in module.state_dict().items() if not is_finite(tensor)], source)


def is_finite(tensor: Tensor) -> bool:
    """Whether a tensor has neither NaN nor infinity; in one pass, ten times faster than torch.isfinite."""
    if not tensor.numel() or tensor.is_meta or not tensor.is_floating_point():
        return True
    return all(bool(end.isfinite()) for end in tensor.detach().aminmax())


def materialize(module: nn.Module, device: torch.device) -> None:
    """Gives what is on the meta device memory for a checkpoint to fill; buffers that no file holds are recomputed."""
    fill_buffers(module)
    module._apply(lambda tensor: torch.empty_like(tensor, device=device) if tensor.is_meta else tensor)


def fill_buffers(module: nn.Module) -> None:
    """Recomputes buffers that no file holds: rotary frequencies and position ids of `transformers`' modules."""
    for name, owner in module.named_modules():
        unsaved = owner._non_persistent_buffers_set
        empty = [key for key, b in owner._buffers.items() if b is not None and b.is_meta and key in unsaved]
        if not empty:
            continue
        config = getattr(owner, "config", None)
        if not isinstance(config, PretrainedConfig):
            raise ValueError(
                f"{name or 'the module'} ({type(owner).__name__}) has {empty}, which no file holds"
            )
        fresh = type(owner)(config)
        for key in empty:
            owner._buffers[key] = fresh._buffers[key]
