"""FID, MJHQ-30K and rFID as suites of `python -m evals`: checked before work is spent, made, then scored."""

import argparse
from importlib.metadata import version
from typing import Any

from evals.drawing import who_drew
from evals.drawing_options import BATCH, check_sampling, load_model
from evals.fidelity.extractor import Extractor, features_of
from evals.fidelity.frechet import Gaussian
from evals.fidelity.inception import load_inception
from evals.fidelity.scores import all_scores
from evals.fidelity.tasks import TASKS, Task
from evals.image_sets import others_in, picture_width
from evals.ranks import ALONE, Ranks
from models.sampling_options import given_sampling

VERSION = "2"  # of how images are read and scored; a change that moves a figure moves it (2: all through one opener)
REBUILT = "both sides: the centre square at {} pixels, Pillow's bicubic"


def run(options: argparse.Namespace, ranks: Ranks) -> dict[str, Any]:
    """Makes what is missing, if there is a model, then scores; returns the report.

    Of several processes all make images and the first scores; the others return nothing.

    Raises:
        FileNotFoundError: a file, a folder or an image is not there.
        ValueError: options, prompts, images, weights or model that are not what they should be.
    """
    task = TASKS[options.suite](options)
    task.check()
    extractor = load_inception(options.inception, options.device)
    if task.images.record:
        make(task, options, ranks)
    return evaluate(task, options, extractor) if ranks.first else {}


def check(options: argparse.Namespace) -> None:
    """What can be told from the options alone."""
    if lost := [f"--{name}" for name in ("images", "real") if getattr(options, name) is None]:
        raise ValueError(f"--suite {options.suite} needs {' and '.join(lost)}")
    if options.suite == "rfid" and options.model is None:
        raise ValueError("--suite rfid needs --model DIR, which rebuilds the images")
    check_sampling(options)
    if options.suite == "rfid" and (given := given_sampling(options).given):
        name = next(iter(given)).replace("_", "-")
        raise ValueError(f"--{name} is of drawing prompts: --suite rfid only rebuilds")


def make(task: Task, options: argparse.Namespace, ranks: Ranks = ALONE) -> int:
    """Makes the wanted images that are missing, every process its share; returns how many this one made."""
    model = load_model(options, task.parts, "rebuild images" if task.rebuilds else "draw")
    return task.images.fill(task.maker(model), options.batch or BATCH, ranks)


def evaluate(task: Task, options: argparse.Namespace, extractor: Extractor) -> dict[str, Any]:
    """The report on images that are all there.

    Raises:
        FileNotFoundError: some are not.
        ValueError: one cannot be read.
    """
    pictures = list(task.images.pictures().values())
    side = (
        picture_width(pictures[0]) if task.rebuilds else None
    )  # of the real images too, cut as the model saw them
    generated = features_of(pictures, extractor, options.features)
    real = task.real
    if not isinstance(real, Gaussian):
        real = features_of(real, extractor, options.features, side)
    scores = all_scores(generated, real, extractor.layers, task.groups)
    if task.rebuilds:
        scores = {"rfid" if name == "fid" else name: value for name, value in scores.items()}
    return scores | _about(options, extractor, side)


def _about(options: argparse.Namespace, extractor: Extractor, side: int | None) -> dict[str, Any]:
    """How the scores were had."""
    about = {"version": VERSION, "real": options.real.name, **extractor.about}
    if side is not None:
        about["resize"] = f"{REBUILT.format(side)}; then {about['resize']}"
    elif options.real.suffix == ".npz":
        about["resize"] += "; of the real images' statistics it is not known"
    if options.real.suffix != ".npz" and options.suite != "mjhq":
        about["real_left_out"] = others_in(options.real)  # files that are no images
    about |= {"torch": version("torch"), "pillow": version("pillow")}
    return about | who_drew(options.images)
