"""A diffusers folder, as Stable Diffusion is published: a subfolder with a config and weights for each part.

It is read without diffusers' pipelines, which fill what a folder lacks with random numbers and a warning. Here what lacks
is told, with its number. A name that is no folder here goes to the hub.
"""

import pickle
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from common.foreign_files import check_file
from common.json_files import read_object
from models.bounds import check_numbers
from models.weights import check_finite, is_finite

WEIGHTS = "diffusion_pytorch_model"
CONFIGS = ("unet/*.json", "vae/*.json", "scheduler/*.json")
# Attention layers of VAEs that were saved before diffusers 0.17, Stable Diffusion 1.5's among them.
OLD = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def find_folder(name: str, patterns: Collection[str]) -> Path:
    """The folder `name`, or what the hub has of the files `patterns` under that name.

    Raises:
        FileNotFoundError: it is neither here nor to be had.
    """
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


def read_config(folder: Path, part: str, kinds: Collection[str]) -> dict[str, Any]:
    """The config of a part, of one of the classes `kinds`, without diffusers' notes on itself.

    Raises:
        FileNotFoundError: the folder has no such part.
        ValueError: it is no JSON object, or of another class.
    """
    path = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is no Stable Diffusion: there is no {part}/{path.name} in it")
    config = read_object(path)
    check_numbers(config, str(path))
    kind = config.get("_class_name")
    if kind not in kinds:
        raise ValueError(f"{path} is of class {kind}, which is not known here; there is: {', '.join(kinds)}")
    return {name: value for name, value in config.items() if not name.startswith("_")}


def weight_patterns(part: str, variant: str, pickled: bool) -> list[str]:
    """What the hub is asked for: the weights that `weight_files` takes, and no other copies of them."""
    stem = f"{part}/{WEIGHTS}.{variant}".rstrip(".")
    return [f"{stem}{more}.{end}" for more in ("", "-*") for end in _endings(pickled)]


def weight_files(folder: Path, part: str, variant: str, pickled: bool) -> list[Path]:
    """The files that hold a part's weights, from its index where it has several.

    Args:
        folder: that has the part.
        part: its name.
        variant: as diffusers calls it, such as fp16; "": none.
        pickled: whether pickled weights will do where there are no safetensors.

    Raises:
        FileNotFoundError: some are not there.
        ValueError: there are only pickled ones, or the index is broken.
    """
    place = folder / part
    for ending in _endings(pickled):
        whole = place / _of_variant(f"{WEIGHTS}.{ending}", variant)
        index = place / _of_variant(f"{WEIGHTS}.{ending}.index.json", variant)
        if index.is_file():
            return _checked(_shards(index))
        if whole.is_file():
            return _checked([whole])
    there = sorted(path.name for end in ("safetensors", "bin") for path in place.glob(f"*.{end}"))
    if there and all(name.endswith(".bin") for name in there):
        raise ValueError(
            f"{place} has only pickled weights ({there[0]}): save them as safetensors, or allow them by pickled: true"
        )
    wanted = _of_variant(f"{WEIGHTS}.safetensors", variant)
    raise FileNotFoundError(f"{place} has no {wanted}; it has {', '.join(there) or 'no weights'}")


def _checked(files: list[Path]) -> list[Path]:
    for path in files:
        check_file(path)
    return files


def _endings(pickled: bool) -> tuple[str, ...]:
    return ("safetensors", "bin") if pickled else ("safetensors",)


def _of_variant(name: str, variant: str) -> str:
    stem, _, ending = name.rpartition(".")
    return f"{stem}.{variant}.{ending}" if variant else name


def _shards(index: Path) -> list[Path]:
    named = read_object(index).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
        raise ValueError(f"{index} is no index of weights")
    names = sorted(set(named.values()))
    if strange := [name for name in names if Path(name).name != name]:
        raise ValueError(f"{index} names what is not in its folder: {strange[0]}")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{index.parent} lacks {len(missing)} of {len(names)} files of weights: {listed(missing)}"
        )
    return [index.parent / name for name in names]


def read_weights(files: Iterable[Path]) -> Iterator[dict[str, Tensor]]:
    """The tensors of one file after another.

    Raises:
        ValueError: a file is broken, or holds more than tensors.
    """
    for path in files:
        try:
            if path.suffix == ".safetensors":
                yield load_file(path)
            else:
                yield torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        except (SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
            raise ValueError(f"{path} does not load: {' '.join(str(error).split())[:200]}") from error


def fill(module: nn.Module, tensors: Iterable[Mapping[str, Tensor]], where: str) -> None:
    """Gives a module that was built on the meta device its weights, in the default type and on the default device.

    Args:
        module: to fill.
        tensors: of one file after another.
        where: they come from.

    Raises:
        ValueError: tensors are missing, of another shape, or unknown, or hold NaN or infinity.
    """
    wanted = {name: tensor.shape for name, tensor in module.state_dict().items()}
    missing, unknown, broken = dict.fromkeys(wanted), [], []
    for shard in tensors:
        ready = {}
        for old, tensor in shard.items():
            name = re.sub(r"(?<=attentions\.0\.)\w+(?=\.)", lambda found: OLD.get(found[0], found[0]), old)
            if name not in wanted:
                unknown.append(old)
                continue
            if tensor.shape != wanted[name]:
                shapes = f"{tuple(tensor.shape)}, its config.json makes it {tuple(wanted[name])}"
                raise ValueError(f"{where}: {name} is {shapes}")
            # a copy: weights that train must not lie in a file that is mapped into memory
            ready[name] = tensor.to(torch.get_default_device(), torch.get_default_dtype(), copy=True)
            if not is_finite(ready[name]):
                broken.append(name)
            missing.pop(name, None)
        module.load_state_dict(ready, strict=False, assign=True)
    if missing:
        raise ValueError(f"{where} lacks {len(missing)} of {len(wanted)} tensors: {listed(missing)}")
    if unknown:
        raise ValueError(
            f"{where} has {len(unknown)} tensors that its config.json has not: {listed(unknown)}"
        )
    check_finite(broken, where)


def listed(names: Iterable[str]) -> str:
    """The first three names."""
    names = list(names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
