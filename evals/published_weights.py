"""Networks of other people, from a folder or by their name on the Hugging Face hub, and what names them in a report."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from common.foreign_files import check_no_pointers
from models.weights import check_module

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
Loaded = TypeVar("Loaded")


def load(make: Callable[..., Loaded], source: str, option: str, **settings: Any) -> Loaded:
    """What a `from_pretrained` makes of a folder or a hub name.

    Raises:
        FileNotFoundError: there is no such folder, and it cannot be a hub name.
        ValueError: it does not load.
    """
    local = Path(source).is_dir()
    if not local and not HUB_NAME.fullmatch(source):
        raise FileNotFoundError(f"{option} {source}: there is no such folder; give one, or a name on the hub")
    try:
        check_no_pointers(Path(source))
        return make(source, **settings)
    except Exception as error:  # noqa: BLE001 - foreign files lead the libraries into any
        place = "" if local else "there is no such folder, and as a name on the hub it "
        said = " ".join(str(error).split())[:300]
        raise ValueError(f"{option} {source}: {place}does not load: {said}") from error


def load_network(
    kind: Any, source: str, option: str, device: str, dtype: torch.dtype = torch.float32, **settings: Any
) -> nn.Module:
    """A network of a `transformers` class, in eval mode and single precision, or as `dtype` says.

    Raises:
        FileNotFoundError: there is no such folder, and it cannot be a hub name.
        ValueError: it does not load, the folder lacks some of its weights, or these hold NaN or infinity.
    """
    settings |= {"output_loading_info": True, "dtype": dtype}
    network, told = load(kind.from_pretrained, source, option, **settings)
    if told["missing_keys"]:
        lost = sorted(told["missing_keys"])
        raise ValueError(f"{option} {source} lacks {len(lost)} of its weights, {lost[0]} among them")
    check_module(network, f"{option} {source}")
    return network.eval().to(device)


def name_of(source: str, network: nn.Module, processing: dict[str, Any]) -> str:
    """What names a network in a report: its folder or hub name, and twelve hex digits of weights and settings."""
    digest = hashlib.sha256(json.dumps(processing, sort_keys=True, default=str).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    shown = Path(source).resolve().name if Path(source).is_dir() else source
    return f"{shown} ({digest.hexdigest()[:12]})"


def settings_of(processor: Any) -> dict[str, Any]:
    """An image processor's settings without the place that it was loaded from."""
    return {key: value for key, value in processor.to_dict().items() if not key.startswith("_")}
