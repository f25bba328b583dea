"""Whether a run's checkpoints will fit on the disk, told before anything is trained."""

import math
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer

from common.disk import free_bytes, gigabytes

MOMENTS = 2  # that AdamW keeps of each parameter that learns; Muon keeps one
AT_ONCE = 3  # the last checkpoint, the one before, and the one that is being written


def check_disk_space(trainer: Trainer, module: LightningModule, folder: Path, every_n_steps: int) -> None:
    """Makes sure that a run's checkpoints fit.

    Args:
        trainer: before training begins.
        module: whose weights and moments are saved.
        folder: where checkpoints go.
        every_n_steps: how often.

    Raises:
        ValueError: they do not.
    """
    size = checkpoint_bytes(module)
    steps = trainer.estimated_stepping_batches
    to_come = AT_ONCE if math.isinf(steps) else int(steps) // every_n_steps + 1
    there = len(list(folder.glob("*.ckpt")))
    wanted = (min(AT_ONCE, there + to_come) - min(AT_ONCE, there)) * size
    free = free_bytes(folder)
    if free < wanted:
        raise ValueError(
            f"{folder}: a checkpoint takes {gigabytes(size)}, up to {AT_ONCE} lie there at once, and the disk has "
            f"{gigabytes(free)} free: make room, or give --runs_dir on a larger disk"
        )


def checkpoint_bytes(module: LightningModule) -> int:
    """About the bytes of a checkpoint: weights, and the moments of what learns; of sharded ones, all shares."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    learning = sum(p.numel() * p.element_size() for p in module.parameters() if p.requires_grad)
    return weights + MOMENTS * learning
