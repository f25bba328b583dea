"""Checkpoints that every process writes a shard of, read without running what they hold.

A sharded checkpoint is a folder: `.metadata` says which bytes of which `*.distcp` are which tensor, `meta.pt` holds all
that is neither the model's nor the optimizer's. torch's own reader unpickles `.metadata` and each entry that is no
tensor, which would run whatever someone put there; this one takes plain values and torch's own records alone.
"""

import importlib
import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint import CheckpointException, DefaultLoadPlanner, FileSystemReader, load
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import ReadItem

META = "meta.pt"
RECORDS = {
    "torch.distributed.checkpoint.metadata": None,  # all of it: plain records
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "torch": {"Size", "float16", "bfloat16", "float32", "float64", "int32", "int64", "uint8", "bool"},
    "torch.serialization": {"_get_layout"},
    "torch._utils": {"_rebuild_device"},
    "builtins": {"set", "frozenset"},
    "collections": {"OrderedDict"},
    "pathlib": {"PosixPath", "WindowsPath"},
    "pathlib._local": {"PosixPath", "WindowsPath"},  # their name in Python 3.13
}


class _Records(pickle.Unpickler):
    """Unpickles RECORDS and plain values."""

    def find_class(self, module: str, name: str) -> Any:
        known = RECORDS.get(module, ())
        if (known is not None and name not in known) or "." in name:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        found = getattr(importlib.import_module(module), name)
        if known is None and not (isinstance(found, type) and found.__module__ == module):
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return found


def read_metadata(folder: Path) -> Metadata:
    """The index of a sharded checkpoint, checked.

    Raises:
        ValueError: it holds what no checkpoint holds, or files are shorter than it says.
        OSError: it cannot be read.
    """
    try:
        with open(folder / ".metadata", "rb") as file:
            metadata = _Records(file).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, ImportError) as error:
        raise ValueError(f"{folder}/.metadata is not a checkpoint's: {error}") from error
    if not isinstance(metadata, Metadata) or not isinstance(metadata.storage_data, dict):
        raise ValueError(f"{folder}/.metadata is not a checkpoint's")
    ends: dict[str, int] = {}
    for piece in metadata.storage_data.values():
        ends[piece.relative_path] = max(ends.get(piece.relative_path, 0), piece.offset + piece.length)
    torn = [
        name
        for name, end in sorted(ends.items())
        if Path(name).name != name or not (folder / name).is_file() or (folder / name).stat().st_size < end
    ]
    if torn:
        raise ValueError(f"{folder} lacks (part of) {', '.join(torn[:3])}: {len(torn)} of {len(ends)} files")
    return metadata


def first_failure(error: CheckpointException) -> BaseException:
    """The error of one of the processes; torch collects them in an exception that is no `Exception`."""
    return next(iter(error.failures.values()))[0]


class SafeReader(FileSystemReader):
    """torch's, with `read_metadata` for its index."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        metadata = read_metadata(Path(self.path))
        metadata.storage_meta = metadata.storage_meta or StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata


class SafePlanner(DefaultLoadPlanner):
    """torch's, but what is no tensor must be a plain value."""

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        plain = io.BytesIO()
        torch.save(torch.load(value, weights_only=True), plain)
        plain.seek(0)
        super().load_bytes(read_item, plain)


def load_into(state: dict[str, Any], folder: Path, partial: bool = False) -> None:
    """Fills the tensors of a nested state, sharded or whole, from a sharded checkpoint of any number of processes.

    Args:
        state: nested dicts.
        folder: the checkpoint.
        partial: what the checkpoint lacks stays as it is, rather than being an error.

    Raises:
        ValueError, OSError: the error of whichever process.
    """
    read_metadata(folder)  # torch's own message would be long
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # one process is meant
            load(state, storage_reader=SafeReader(folder), planner=SafePlanner(allow_partial_load=partial))
    except CheckpointException as error:
        raise first_failure(error) from error
