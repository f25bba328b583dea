"""Gradient norms by part, as `grad_norm/<part>`, and of all of them together, as `grad_norm/all`."""

from collections import defaultdict

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from models.sharding import total_norm
from training.csv_logger import is_logged


class GradientNorms(Callback):
    """Logs the norms before clipping, at the steps that are logged and at no others.

    The parts are the named groups of the optimizer, as in the table of parameters. A module whose gradients are not means
    yet at this point says by what they become so (`gradient_factor()`).
    """

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if not is_logged(trainer):
            return
        norms = gradient_norms(optimizer)
        factor = getattr(pl_module, "gradient_factor", None)
        if factor is not None:
            scale = factor()
            norms = {name: norm * scale for name, norm in norms.items()}
        pl_module.log_dict(norms)


def gradient_norms(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """`grad_norm/<part>` of each named group, groups of one name as one, and `grad_norm/all`; all on the device."""
    parts: dict[str, list[Tensor]] = defaultdict(list)
    for number, group in enumerate(optimizer.param_groups):
        name = group.get("name", f"group_{number}")
        parts[name] += [p.grad for p in group["params"] if p.grad is not None]
    norms = {f"grad_norm/{name}": total_norm(found) for name, found in parts.items() if found}
    if norms:
        norms["grad_norm/all"] = torch.stack(list(norms.values())).norm()
    return norms
