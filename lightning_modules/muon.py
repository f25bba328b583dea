"""Muon with all matrices of a size in one batch: torch's own takes them one by one, in bfloat16 on every device."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def orthogonalize(
    matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """Newton-Schulz iterations that bring all singular values near to 1 (those of `torch.optim.Muon`).

    Matrices (N, rows, columns), rows <= columns for the fewest operations, keep their precision. The coefficients are a,
    b, c of the polynomial a x + b x^3 + c x^5; a norm below `eps` is taken for it.
    """
    a, b, c = coefficients
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT  # (N, rows, rows)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


class Muon(torch.optim.Muon):
    """torch.optim.Muon, whose state it shares, with `adjust_lr_fn="match_rms_adamw"`: AdamW's learning rates fit.

    On a CPU the iterations are in the matrices' own precision: bfloat16 takes twice as long there (docs/decisions/).
    """

    def __init__(self, params: Any, weight_decay: float = 0.0) -> None:
        super().__init__(params, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every group."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step(group)
        return loss

    def _step(self, group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        by_shape: dict[tuple, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            # In one layout, a resumed run's too: another is rounded otherwise.
            gradient, state = parameter.grad.contiguous(), self.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(gradient)
            buffer = state["momentum_buffer"] = state["momentum_buffer"].contiguous()
            buffer.lerp_(gradient, 1 - momentum)
            update = gradient.lerp(buffer, momentum) if group["nesterov"] else buffer
            wide = update if update.shape[0] <= update.shape[1] else update.mT
            by_shape[wide.shape, wide.dtype, wide.device].append((parameter, wide))
        for (shape, dtype, device), pairs in by_shape.items():
            precision = dtype if device.type == "cpu" else torch.bfloat16
            stacked = torch.stack([update for _, update in pairs]).to(precision)
            made = orthogonalize(stacked, group["ns_coefficients"], group["ns_steps"], group["eps"])
            rate = group["lr"] * 0.2 * max(shape) ** 0.5
            for (parameter, _), update in zip(pairs, made.to(dtype), strict=True):
                if group["weight_decay"]:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update if parameter.shape == shape else update.mT, alpha=-rate)
