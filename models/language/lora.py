"""Low-rank additions to the trunk's matrices (LoRA, arXiv 2106.09685), by peft: what one GPU can train of a 7B model."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.language.unified_lm import UnifiedLM

MARK = "lora_"  # in the names of peft's parameters


def add_lora(language: UnifiedLM, settings: Mapping[str, Any]) -> None:
    """Freezes the trunk and adds matrices of low rank to its own; they begin as nothing.

    Args:
        language: the model.
        settings: of peft's LoraConfig, as r, lora_alpha and target_modules.

    Raises:
        ModuleNotFoundError: peft is not installed.
        ValueError: a setting is not known, or names no module of the trunk.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ModuleNotFoundError("LoRA needs peft: pip install open-illume[lora]") from error
    try:
        inject_adapter_in_model(LoraConfig(**settings), language.trunk)
    except (TypeError, ValueError) as error:
        raise ValueError(f"model.init_args.lora: {' '.join(str(error).split())[:300]}") from error


@torch.no_grad()
def added_up(trunk: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """The trunk's tensors with all additions added up, under the names that it has without them."""
    tensors = {name: tensor for name, tensor in trunk.state_dict().items() if MARK not in name}
    for name, module in trunk.named_modules():
        if hasattr(module, "get_delta_weight"):
            key = f"{name}.base_layer.weight"
            delta = sum(module.get_delta_weight(adapter) for adapter in module.active_adapters)
            tensors[key] = tensors[key] + delta.to(tensors[key].dtype)
    return {prefix + name.replace(".base_layer.", "."): tensor for name, tensor in tensors.items()}
