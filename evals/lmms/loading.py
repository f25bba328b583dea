"""From what lmms-eval is given on its command line to a model that answers."""

import os
from pathlib import Path
from typing import Any

import torch

from common.checks import check_choice
from common.paths import expand_home
from evals.lmms.answering import Answerer
from models.unified import Illume

SEES = ("encoder", "language", "text_tokenizer")
ARGUMENTS = ("pretrained", "fit")  # of --model_args


def load_answerer(
    pretrained: str | None, device: str | None, batch_size: int | str, fit: str, unknown: dict[str, Any]
) -> Answerer:
    """The model folder `pretrained`, on a device.

    Args:
        pretrained: the folder.
        device: "cuda", "cuda:1", "npu", "cpu"; without a number it is that of this process; None: a GPU if there is one.
        batch_size: questions answered at once.
        fit: how pictures become square.
        unknown: what else was given, which is nothing that is known.

    Raises:
        FileNotFoundError: there is no such model folder.
        ValueError: something that was given is wrong, or the model cannot see or write.
    """
    for name in unknown:
        check_choice(name, ARGUMENTS, "--model_args")
    if pretrained is None:
        raise ValueError("which model? give its folder: --model_args pretrained=DIR")
    check_choice(fit, ("pad", "crop"), "--model_args fit")
    if not str(batch_size).isdecimal() or int(batch_size) < 1:
        raise ValueError(f"--batch_size {batch_size}: give a whole number from 1")
    place = device_of(device)
    model = Illume.from_pretrained(Path(expand_home(pretrained)))
    if missing := [name for name in SEES if getattr(model, name) is None]:
        raise ValueError(f"{pretrained} cannot answer: it has no {' and no '.join(missing)}")
    model.tokenizer = model.detokenizer = None  # nothing is drawn
    return Answerer(model.to(place), int(batch_size), fit)


def device_of(name: str | None) -> torch.device:
    """The device of that name; of several processes that were started together each has its own.

    Raises ValueError if there is none.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"--device {name}: this machine has no CUDA device; leave it out, or give --device cpu"
        )
    own = "" if ":" in name or name == "cpu" else f":{os.environ.get('LOCAL_RANK', '0')}"
    try:
        return torch.device(name + own)
    except RuntimeError as error:
        raise ValueError(f"--device {name} is no device: give cuda, cuda:1 or cpu") from error
