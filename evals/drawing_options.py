"""The options of `python -m evals` that say who draws and how, for the suites that draw into a folder."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from models.generation import no_model_folder, read_generation
from models.model_folder import folder_hash
from models.sampling_options import NAMES, given_sampling
from models.unified import Illume

BATCH = 16
OF_DRAWING = (*NAMES, "batch")


def check_sampling(options: argparse.Namespace) -> None:
    """Makes sure that nothing is said of drawing where nothing is drawn.

    Raises:
        ValueError: something is.
    """
    given = [name for name in OF_DRAWING if getattr(options, name, None) is not None]
    if options.model is None and given:
        raise ValueError(
            f"--{given[0].replace('_', '-')} is of drawing, and nothing is drawn without --model DIR"
        )


def sampling_of(options: argparse.Namespace, task: Literal["draw", "edit"] = "draw") -> dict[str, Any]:
    """cfg, temperature, top_k and top_p: what the options say, or else the model folder's own for a task.

    Returns:
        Nothing where there is no model, so that nothing is made.

    Raises:
        FileNotFoundError: the folder given is no model's.
        ValueError: its settings are none.
    """
    if options.model is None:
        return {}
    own = getattr(read_generation(options.model), task)
    return asdict(own.override(given_sampling(options)))


def record_of(options: argparse.Namespace, **about: Any) -> dict[str, Any]:
    """What tells the images of this command from others: the model's hash, the seed, and `about`.

    Returns:
        Nothing where there is no model, so that nothing is made.

    Raises:
        FileNotFoundError: the folder given is no model's.
    """
    if options.model is None:
        return {}
    if not (options.model / "illume.json").is_file():
        raise no_model_folder(options.model)
    return {"model": folder_hash(options.model), "seed": options.seed, **about}


def load_model(options: argparse.Namespace, parts: Sequence[str], does: str) -> Illume:
    """The model of --model on --device.

    Raises:
        ValueError: it lacks one of `parts`, without which it cannot do what it `does`.
    """
    model = Illume.from_pretrained(options.model)
    if missing := [name for name in parts if getattr(model, name) is None]:
        raise ValueError(f"{options.model} cannot {does}: it has no {' and no '.join(missing)}")
    return model.to(options.device)
