"""Cross-entropy whose logits never exist all at once: one for each token and piece would be most of a step's memory.

Each chunk of tokens has its logits, loss and gradients computed before the next one's; the backward pass then only
scales what is there, so no product is computed twice.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_ENTRIES = 2**23  # logits at once
WHOLE_ENTRIES = 2**26  # logits up to which they are computed whole, which for so few is as good


def summed_cross_entropy(hidden: Tensor, heads: Sequence[Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
    """The sum () of next-token losses, differentiable, and each of them (n,) without gradients, in single precision.

    From hidden states (n, D), heads (V_i, D) whose logits stand side by side, and targets (n,).
    """
    vocabulary = sum(len(head) for head in heads)
    if len(hidden) * vocabulary <= WHOLE_ENTRIES:
        logits = torch.cat([F.linear(hidden, head) for head in heads], -1)
        losses = F.cross_entropy(logits.float(), targets, reduction="none")
        return losses.sum(), losses.detach()
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    cast = [x.to(dtype) for x in (hidden, *heads)]  # what a linear layer would do
    return _Chunked.apply(max(1, CHUNK_ENTRIES // vocabulary), targets, *cast)


class _Chunked(torch.autograd.Function):
    """The sum, with gradients computed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, chunk: int, targets: Tensor, hidden: Tensor, *heads: Tensor
    ) -> tuple[Tensor, Tensor]:
        to_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[2] else None
        to_heads = [  # in single precision, however the weights are kept
            torch.zeros(head.shape, dtype=torch.float, device=head.device) if wanted else None
            for head, wanted in zip(heads, ctx.needs_input_grad[3:], strict=True)
        ]
        losses = torch.zeros(len(hidden), dtype=torch.float, device=hidden.device)
        sizes = [len(head) for head in heads]
        buffer = hidden.new_empty(chunk, sum(sizes))
        for start in range(0, len(hidden), chunk):
            tokens = slice(start, start + chunk)
            x, target = hidden[tokens], targets[tokens, None]
            for columns, head in zip(buffer[: len(x)].split(sizes, 1), heads, strict=True):
                torch.mm(x, head.T, out=columns)
            logits = buffer[: len(x)].float()  # the buffer itself, where it is in single precision already
            normalizer = logits.logsumexp(-1, keepdim=True)
            losses[tokens] = (normalizer - logits.gather(1, target))[:, 0]
            if not any(ctx.needs_input_grad):
                continue
            slope = logits.sub_(normalizer).exp_()  # softmax
            slope.scatter_add_(1, target, -torch.ones_like(target, dtype=slope.dtype))
            slopes = slope.to(hidden.dtype).split(sizes, 1)
            if to_hidden is not None:
                own = torch.mm(slopes[0], heads[0], out=to_hidden[tokens])
                for columns, head in zip(slopes[1:], heads[1:], strict=True):
                    own.addmm_(columns, head)
            for columns, total in zip(slopes, to_heads, strict=True):
                if total is not None:
                    total.addmm_(columns.T, x) if x.dtype == total.dtype else total.add_(columns.T @ x)
        ctx.gradients, ctx.dtypes = [to_hidden, *to_heads], [hidden.dtype, *(head.dtype for head in heads)]
        ctx.mark_non_differentiable(losses)
        return losses.sum(), losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        own, ctx.gradients = ctx.gradients, []  # scaled in place, so they serve once
        pairs = zip(own, ctx.dtypes, strict=True)
        return None, None, *(None if x is None else x.mul_(slope).to(dtype) for x, dtype in pairs)
