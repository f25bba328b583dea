"""What every test shares: the root on the path, two threads, and gpu tests only where there is a GPU."""

import os
import signal
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.cpu_torchvision import allow_cpu_torchvision  # noqa: E402

allow_cpu_torchvision()  # before anything imports what looks for it: lightning, transformers, torchmetrics
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(number) == signal.SIG_IGN:  # as a shell has it for what it starts in the background
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
if "OMP_NUM_THREADS" not in os.environ:  # where it is, Lightning leaves it alone too
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
