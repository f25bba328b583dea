"""Published models, by local folder or by a name on the Hugging Face hub: no code of theirs is run."""

from collections.abc import Callable, Collection
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.constants import HF_HUB_CACHE
from transformers.utils.hub import cached_file

from common.disk import free_bytes, gigabytes
from common.foreign_files import check_no_pointers
from models.weights import INDEX, read_tensors, weight_files

PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
PICKLED = "pytorch_model*.bin"
SAFETENSORS = "model*.safetensors*"


def read_published(read: Callable[..., Any], source: str, revision: str, **options: Any) -> Any:
    """The result of a `from_pretrained`, with one line for whatever is wrong.

    Raises:
        FileNotFoundError: there is no such folder, nor such a name on the hub.
        ValueError: the folder is there and does not load, or holds pointers of git-lfs.
    """
    if source.startswith(("/", ".", "~")) and not Path(source).is_dir():
        raise FileNotFoundError(f"there is no folder {source}")
    check_no_pointers(Path(source))
    try:
        return read(source, revision=revision, trust_remote_code=False, **options)
    except Exception as error:  # noqa: BLE001 - foreign files lead the libraries into any
        kind = "" if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: "
        message = kind + " ".join(str(error).split())[:300]
        if Path(source).is_dir():
            raise ValueError(f"{source} does not load: {message}") from error
        raise FileNotFoundError(
            f"{source} is no folder here, and the hub does not give it: {message}"
        ) from error


def find_file(source: str, revision: str, name: str) -> Path | None:
    """A file of a local folder, or of a name on the hub; None: it has none."""
    quiet = {f"_raise_exceptions_for_{what}": False for what in ("missing_entries", "connection_errors")}
    try:
        found = cached_file(source, name, revision=revision, **quiet)
    except OSError:
        return None
    return None if found is None else Path(found)


def check_files(source: str, revision: str, pickled: bool) -> None:
    """Checks a local folder's weights before minutes of loading, or, of a name on the hub, that they fit on the disk.

    Raises:
        FileNotFoundError: files that its index names are not there.
        ValueError: its weights are pickles, and that was not asked for; or they are larger than the disk.
    """
    folder = Path(source)
    if not folder.is_dir():
        check_download(source, revision, _patterns(pickled))
        return
    pickles = [name for name in PICKLES if (folder / name).is_file()]
    try:
        weight_files(folder)
    except FileNotFoundError:
        if not pickles or (folder / INDEX).is_file():
            raise
        if not pickled:
            raise ValueError(
                f"{source} holds {pickles[0]}: pickled weights are not read unless `pickled: true` asks for it "
                "(they are then read with weights_only, which runs no code)"
            ) from None


def _patterns(pickled: bool) -> list[str]:
    """The files that the hub is asked for."""
    return [SAFETENSORS, *([f"{PICKLED}*"] if pickled else [])]


def check_download(source: str, revision: str, patterns: Collection[str]) -> None:
    """Raises ValueError where what the hub has of some files, and this machine has not, does not fit on the disk."""
    if Path(source).expanduser().is_dir():
        return
    try:
        files = snapshot_download(source, revision=revision, allow_patterns=list(patterns), dry_run=True)
    except (OSError, ValueError):  # whoever reads them next reports it, or has them from before
        return
    safe = [file for file in files if file.filename.endswith(".safetensors")]
    taken = safe or files  # where both kinds are there, pickles are not read
    needed = sum(file.file_size or 0 for file in taken if file.will_download)
    cache = Path(HF_HUB_CACHE)
    if needed > (free := free_bytes(cache)):
        raise ValueError(
            f"{source} has {gigabytes(needed)} of weights to download, and the disk of {cache} has "
            f"{gigabytes(free)} free: make room, or set HF_HOME to a folder on a larger disk"
        )


def stored_dtype(source: str, revision: str, pickled: bool) -> torch.dtype:
    """The dtype of a published model's weights; of several, the least that holds each exactly."""
    return read_published(_stored_dtype, source, revision, pickled=pickled)


def _stored_dtype(source: str, revision: str, pickled: bool, trust_remote_code: bool) -> torch.dtype:
    folder = Path(source)
    if not folder.is_dir():
        folder = Path(snapshot_download(source, revision=revision, allow_patterns=_patterns(pickled)))
    dtypes = {tensor.dtype for _, tensor in read_tensors(published_files(folder, pickled))}
    return reduce(torch.promote_types, (dtype for dtype in dtypes if dtype.is_floating_point))


def published_files(folder: Path, pickled: bool) -> list[Path]:
    """The files of weights in a published folder: pickles where these are asked for and nothing else is there."""
    pickles = sorted(folder.glob(PICKLED))
    return pickles if pickled and pickles and not any(folder.glob(SAFETENSORS)) else weight_files(folder)
