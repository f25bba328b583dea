"""A diffusers folder, as Stable Diffusion is published: a subfolder with a config and weights for each component.

It is read without diffusers' pipelines, which fill what a folder lacks with random numbers and a warning; here what is
missing is an error that names it. A name that is no folder here is taken from the hub.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from torch import Tensor

from common.foreign_files import check_file
from common.json_files import read_object
from models.bounds import check_numbers
from models.weights import indexed_files, read_tensors

WEIGHTS = "diffusion_pytorch_model"
CONFIGS = ("unet/*.json", "vae/*.json", "scheduler/*.json")
# Attention layers of VAEs that were saved before diffusers 0.17, Stable Diffusion 1.5's among them.
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def find_folder(name: str, patterns: Collection[str]) -> Path:
    """The folder of that name, or the files that match the patterns under that name on the hub."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise FileNotFoundError(f"there is no folder {name}, and it is no name of the hub (OWNER/MODEL)")
    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise FileNotFoundError(f"{name} is no folder here, and the hub does not give it: {line}") from error


def read_config(folder: Path, component: str, kinds: Collection[str]) -> dict[str, Any]:
    """The config of a component of one of the classes `kinds`, without diffusers' notes on itself."""
    path = folder / component / ("scheduler_config.json" if component == "scheduler" else "config.json")
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is no Stable Diffusion: there is no {component}/{path.name} in it")
    config = read_object(path)
    check_numbers(config, str(path))
    kind = config.get("_class_name")
    if kind not in kinds:
        raise ValueError(f"{path} is of class {kind}, which is not known here; there is: {', '.join(kinds)}")
    return {name: value for name, value in config.items() if not name.startswith("_")}


def weight_patterns(component: str, variant: str, pickled: bool) -> list[str]:
    """The patterns of the weights that `weight_files` takes, and of no other copies of them."""
    stem = f"{component}/{WEIGHTS}.{variant}".rstrip(".")
    return [f"{stem}{more}.{suffix}" for more in ("", "-*") for suffix in _suffixes(pickled)]


def weight_files(folder: Path, component: str, variant: str, pickled: bool) -> list[Path]:
    """The files of a component's weights, of a variant such as fp16; `pickled` takes pickles where nothing else is.

    Raises:
        FileNotFoundError: some are not there.
        ValueError: there are only pickled ones, or the index is broken.
    """
    own, dot = folder / component, f".{variant}" if variant else ""
    for suffix in _suffixes(pickled):
        whole, index = own / f"{WEIGHTS}{dot}.{suffix}", own / f"{WEIGHTS}.{suffix}.index{dot}.json"
        if index.is_file():
            return indexed_files(index)
        if whole.is_file():
            check_file(whole)
            return [whole]
    found = sorted(path.name for suffix in _suffixes(True) for path in own.glob(f"*.{suffix}"))
    if found and all(name.endswith(".bin") for name in found):
        raise ValueError(
            f"{own} has only pickled weights ({found[0]}): save them as safetensors, or allow them by pickled: true"
        )
    wanted = f"{WEIGHTS}{dot}.safetensors"
    raise FileNotFoundError(f"{own} has no {wanted}; it has {', '.join(found) or 'no weights'}")


def _suffixes(pickled: bool) -> tuple[str, ...]:
    return ("safetensors", "bin") if pickled else ("safetensors",)


def read_weights(files: Collection[Path]) -> Iterator[tuple[str, Tensor]]:
    """Tensors by today's names, in the default dtype and on the default device; errors as of `read_tensors`."""
    for old, tensor in read_tensors(files):
        name = re.sub(r"(?<=attentions\.0\.)\w+(?=\.)", lambda found: OLD_NAMES.get(found[0], found[0]), old)
        # a copy: weights that train must not lie in a file that is mapped into memory
        yield name, tensor.to(torch.get_default_device(), torch.get_default_dtype(), copy=True)
