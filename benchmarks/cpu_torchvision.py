"""Lets PyPI's torchvision, which is linked against CUDA, be imported beside a torch without it.

Only the schemas of the two operators that torchvision's meta registrations insist on are declared. No kernel is supplied:
`torchvision.ops.nms` still raises. torch-fidelity needs torchvision for its data sets alone.
"""

import importlib.util
import sys

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
declared: list[torch.library.Library] = []  # they live as long as this list


def allow_cpu_torchvision() -> None:
    """Does nothing where there is no torchvision, or where it imports by itself."""
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        declared.append(torch.library.Library("torchvision", "DEF"))
        for schema in SCHEMAS:
            declared[0].define(schema)
        import torchvision  # noqa: F401
