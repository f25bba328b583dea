"""Low-rank additions to the trunk's matrices (LoRA, arXiv 2106.09685), by peft: what one GPU can train of a 7B model."""

import importlib.util
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.language.unified_lm import UnifiedLM

MARK = "lora_"  # in the names of peft's parameters


def check_peft() -> None:
    """Refuses LoRA without peft, before a large model is loaded."""
    if importlib.util.find_spec("peft") is None:
        raise ValueError("model.init_args.lora needs peft: pip install -e '.[lora]'")


def add_lora(language: UnifiedLM, settings: Mapping[str, Any]) -> None:
    """Freezes the trunk and adds matrices of low rank to its own, of peft's LoraConfig; they begin as nothing.

    Raises:
        ValueError: peft is not installed, or a setting is not known or names no module of the trunk.
    """
    check_peft()
    from peft import LoraConfig, inject_adapter_in_model

    try:
        inject_adapter_in_model(LoraConfig(**settings), language.trunk)
    except (TypeError, ValueError) as error:
        raise ValueError(f"model.init_args.lora: {' '.join(str(error).split())[:300]}") from error


@torch.no_grad()
def merged_state_dict(trunk: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """The trunk's tensors with all additions added up, under the names that it has without them."""
    tensors = {name: tensor for name, tensor in trunk.state_dict().items() if MARK not in name}
    for name, module in trunk.named_modules():
        if hasattr(module, "get_delta_weight"):
            key = f"{name}.base_layer.weight"
            delta = sum(module.get_delta_weight(adapter) for adapter in module.active_adapters)
            base = tensors[key]
            if base.itemsize < delta.itemsize:  # a half could not hold what was added, nor a device both
                base, delta = base.cpu().to(delta.dtype), delta.cpu()
            tensors[key] = base + delta.to(base.dtype)
    return {prefix + name.replace(".base_layer.", "."): tensor for name, tensor in tensors.items()}
