"""AdamW with a named group for each part, under warm-up and cosine decay (assumed; ILLUME+ trains so)."""

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn


def cosine_factor(step: int, warmup: int, total: int, floor: float = 0.02) -> float:
    """Factor on the learning rate: linear up over `warmup` steps, then half a cosine down to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    share = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share))


def adamw(
    parts: Mapping[str, Iterable[nn.Parameter]],
    rates: Mapping[str, float],
    total: int,
    warmup: int,
    weight_decay: float = 0.0,
    beta2: float = 0.95,
) -> dict[str, Any]:
    """Lightning's optimizer and scheduler for the parts that have a rate; all others are frozen.

    Raises:
        ValueError: a rate is given for a part that there is not.
    """
    unknown = set(rates) - set(parts)
    if unknown:
        raise ValueError(
            f"no part {', '.join(sorted(unknown))} to give a learning rate to; there is: {', '.join(parts)}"
        )
    groups = [
        {"params": list(parts[name]), "lr": rate, "name": name} for name, rate in rates.items() if rate > 0
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, beta2), weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, partial(cosine_factor, warmup=warmup, total=total)
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train_only(parts: Mapping[str, Iterable[nn.Parameter]], rates: Mapping[str, float]) -> None:
    """Freezes every parameter of the parts that have no rate."""
    for name, parameters in parts.items():
        for parameter in parameters:
            parameter.requires_grad_(rates.get(name, 0) > 0)
