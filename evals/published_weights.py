"""Networks of other people, from a folder or by their name on the Hugging Face hub, and what names them in a report.

torch and transformers are imported where a network is loaded, so that a missing folder is reported without them.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from common.foreign_files import check_no_pointers

if TYPE_CHECKING:
    import torch
    from torch import nn

HASH = re.compile(r"[0-9a-f]{12}")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class WeightSource:
    """A folder or hub name, the option that gave it, and the hash that the weights must have, if one was given."""

    name: str
    option: str
    pin: str | None = None

    @classmethod
    def parse(cls, text: str, option: str) -> "WeightSource":
        """Reads `NAME` or `NAME@HASH`, where HASH is the twelve hex digits that a report prints.

        Raises:
            FileNotFoundError: there is no such folder, and it cannot be a hub name.
            ValueError: what follows the @ is no such hash.
        """
        name, at, pin = text.rpartition("@")
        if not at or Path(text).is_dir():
            name, pin = text, ""
        elif not HASH.fullmatch(pin):
            raise ValueError(
                f"{option} {text}: after @ come the twelve hex digits that a report names, not {pin!r}"
            )
        if not Path(name).is_dir() and not HUB_NAME.fullmatch(name):
            raise FileNotFoundError(
                f"{option} {name}: there is no such folder; give one, or a name on the hub"
            )
        return cls(name, option, pin or None)

    def __str__(self) -> str:
        return f"{self.option} {self.name}"

    def load(self, make: Callable[..., Loaded], **settings: Any) -> Loaded:
        """What a `from_pretrained` makes of it. Raises ValueError if it does not load."""
        try:
            check_no_pointers(Path(self.name))
            return make(self.name, **settings)
        except Exception as error:  # noqa: BLE001 - foreign files lead the libraries into any
            local = Path(self.name).is_dir()
            where = "" if local else "there is no such folder, and as a name on the hub it "
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"{self}: {where}does not load: {reason}") from error

    def load_config(self) -> Any:
        """Its `transformers` config."""
        from transformers import AutoConfig

        return self.load(AutoConfig.from_pretrained)

    def load_image_processor(self) -> Any:
        """Its image processor; the PIL backend, so that scores do not depend on whether torchvision is installed."""
        from transformers import AutoImageProcessor

        return self.load(AutoImageProcessor.from_pretrained, backend="pil")

    def load_tokenizer(self) -> Any:
        """Its tokenizer."""
        from transformers import AutoTokenizer

        return self.load(AutoTokenizer.from_pretrained)

    def load_network(
        self, kind: Any, device: str, dtype: "torch.dtype | None" = None, **settings: Any
    ) -> "nn.Module":
        """A network of a `transformers` class in eval mode, in single precision where `dtype` is None.

        Raises ValueError if it does not load, the folder lacks some of its weights, or these hold NaN or infinity.
        """
        import torch

        from models.weights import check_finite_module

        settings |= {"output_loading_info": True, "dtype": dtype or torch.float32}
        network, info = self.load(kind.from_pretrained, **settings)
        if missing := sorted(info["missing_keys"]):
            raise ValueError(f"{self} lacks {len(missing)} of its weights, {missing[0]} among them")
        check_finite_module(network, str(self))
        return network.eval().to(device)

    def identify(self, network: "nn.Module", processing: dict[str, Any]) -> str:
        """What names a network in a report: folder or hub name, and twelve hex digits of weights and processing.

        Raises ValueError if they are not those of the pin.
        """
        import torch

        digest = hashlib.sha256(json.dumps(processing, sort_keys=True, default=str).encode())
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        shown = Path(self.name).resolve().name if Path(self.name).is_dir() else self.name
        found = digest.hexdigest()[:12]
        if self.pin not in (None, found):
            raise ValueError(
                f"{self.option}: these weights are {shown} ({found}), and not {self.pin}: give those, "
                f"or leave out @{self.pin}"
            )
        return f"{shown} ({found})"


def processor_settings(processor: Any) -> dict[str, Any]:
    """An image processor's settings, without the path that it was loaded from."""
    return {key: value for key, value in processor.to_dict().items() if not key.startswith("_")}
