"""FSDP2: the language model spread over all processes, its frozen and small parts whole on each.

Lightning's ModelParallelStrategy hands the module a device mesh, and leaves the sharding to its `configure_model`
(`models/sharding.py`). Here the mesh is one dimension over all processes, checkpoints are read without running what they
hold, and a module that does not shard is refused: nothing would average its gradients.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from training.parallel.sharded_checkpoint import META, load_into

PRECISIONS = ("32-true", "bf16-mixed")


def check_precision(precision: str) -> None:
    """Makes sure that FSDP2 can train in a precision.

    Raises:
        ValueError: it cannot.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"trainer.precision {precision} cannot run under fsdp2: give one of {', '.join(PRECISIONS)}"
        )


class FSDP2Strategy(ModelParallelStrategy):
    """Data parallelism over all processes with a sharded language model.

    Args:
        timeout: after which a process that waits for another gives up.
        process_group_backend: None: that of the device (nccl, hccl or gloo).
    """

    def __init__(
        self, timeout: timedelta = timedelta(minutes=30), process_group_backend: str | None = None
    ) -> None:
        super().__init__(
            data_parallel_size="auto",
            tensor_parallel_size=1,
            process_group_backend=process_group_backend,
            timeout=timeout,
        )

    def setup_environment(self) -> None:
        self.lightning_module.check_shardable()
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def _get_process_group_backend(self) -> str:
        npu = self.root_device.type == "npu"
        return self._process_group_backend or ("hccl" if npu else super()._get_process_group_backend())

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> Mapping[str, Any]:
        """Loads weights and optimizer states of a sharded checkpoint, of any number of processes; returns the rest."""
        path = Path(self.broadcast(checkpoint_path))
        if path.is_file():
            return super().load_checkpoint(path, weights_only=True)
        weights = {"state_dict": get_model_state_dict(self.model)}
        load_into(weights, path)
        self.model.load_state_dict(weights["state_dict"])
        for number, optimizer in enumerate(self.optimizers):
            name = f"optimizer_{number}"
            state = {name: get_optimizer_state_dict(self.model, optimizer)}
            load_into(state, path, partial=True)  # what nothing had used yet has no moments there
            set_optimizer_state_dict(self.model, optimizer, state[name])
        return torch.load(path / META, map_location="cpu", weights_only=True)
