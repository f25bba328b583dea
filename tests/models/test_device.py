"""A device that is not there is one line, before a model is loaded."""

import sys

import pytest
import torch

from models.device import check_device


def test_cpu() -> None:
    check_device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda() -> None:
    with pytest.raises(ValueError, match="--device cuda:1: this machine has no CUDA device"):
        check_device("cuda:1")


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (None, "--device npu needs torch_npu, of the minor version of torch"),
        ("raise ImportError('libhccl.so: cannot open')", r"torch_npu does not load \(libhccl.so: cannot open\): source"),
        ("import torch; torch.npu = type('', (), {'is_available': lambda: False})", "no Ascend NPU that answers"),
    ],
)  # fmt: skip
def test_npu(source, line, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_npu", None)
    monkeypatch.delitem(sys.modules, "torch_npu")
    monkeypatch.setattr(torch, "npu", None, raising=False)
    monkeypatch.delattr(torch, "npu")
    if source is not None:
        (tmp_path / "torch_npu.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=line):
        check_device("npu")
