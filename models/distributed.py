"""Sums, rows and statistics over the joint batch of all ranks, so that several processes learn what a single one would.

Each function is a collective in a process group: every rank must call it. In a single process it costs nothing.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce


def world_size() -> int:
    """Processes in the group; 1 without a group."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """The tensor summed over all ranks, in place."""
    if world_size() > 1:
        distributed.all_reduce(tensor)
    return tensor


def broadcast_first(tensor: Tensor) -> Tensor:
    """The first rank's tensor on every rank, in place."""
    if world_size() > 1:
        distributed.broadcast(tensor, 0)
    return tensor


def sample_rows(rows: Tensor, count: int) -> Tensor:
    """`count` random rows of the joint batch, by the first rank's random numbers: (M, C) a rank -> (count, C) on all."""
    if world_size() == 1:
        return rows[torch.randint(len(rows), (count,), device=rows.device)]
    sizes = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(world_size())]
    distributed.all_gather(sizes, torch.tensor([len(rows)], device=rows.device))
    before = int(sum(sizes[: distributed.get_rank()]))
    chosen = broadcast_first(torch.randint(int(sum(sizes)), (count,), device=rows.device)) - before
    here = (chosen >= 0) & (chosen < len(rows))
    found = rows.new_zeros(count, rows.shape[1])
    found[here] = rows[chosen[here]]
    return all_reduce_sum(found)


class SyncBatchNorm2d(nn.BatchNorm2d):
    """A batch norm over the joint batch, on any device: torch's SyncBatchNorm does not run on CPUs."""

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> the same, normalized by channel."""
        if not self.training or world_size() == 1:
            return super().forward(images)
        exact, axes = images.float(), (0, 2, 3)
        count = all_reduce_sum(exact.new_tensor(images.numel() / images.shape[1]))
        mean = (all_reduce(exact.sum(axes)) / count)[:, None, None]
        apart = exact - mean
        variance = all_reduce(apart.square().sum(axes)) / count
        running: Any = self  # which torch types as optional
        with torch.no_grad():
            running.num_batches_tracked += 1
            running.running_mean.lerp_(mean.flatten(), self.momentum)
            running.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (apart * scale[:, None, None] + self.bias[:, None, None]).to(images.dtype)
