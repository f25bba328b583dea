"""What each suite makes into its folder, of what, and against which real images it is held."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from common.hashes import hash_json
from evals.drawing import Make, Order, draws, read_record, seed_of
from evals.drawing_options import record_of, sampling_of
from evals.drawn_folder import DrawnFolder
from evals.fidelity import mjhq
from evals.fidelity.frechet import Gaussian
from evals.fidelity.statistics import read_statistics
from evals.image_sets import Picture, by_stem, spread, square_of, told_pictures
from evals.playground.suite import DRAWS, NEEDS
from evals.prompt_file import read_prompt_lines
from models.unified import Illume

WIDTH = 2048  # of the features that statistics are of
NUMBERED = "{:05d}.png"


@dataclass(frozen=True)
class Task:
    """One evaluation, checked.

    Args:
        images: what is evaluated.
        real: what they are held against.
        parts: of a model, that make them.
        groups: which of the wanted have a score of their own, by name.
        rebuilds: whether they are the real images' reconstructions, and not drawings of prompts.
    """

    images: DrawnFolder
    real: Sequence[Picture] | Gaussian
    parts: Sequence[str] = DRAWS
    groups: Mapping[str, Sequence[int]] = field(default_factory=dict)
    rebuilds: bool = False

    def check(self) -> None:
        """Makes sure that a distance can be had, and that the folder's images are those that are meant.

        Raises:
            FileNotFoundError: some are missing, and nothing is made.
            ValueError: there are others, or too few for a distance.
        """
        wanted = len(self.images.wanted)
        real = wanted if isinstance(self.real, Gaussian) else len(self.real)
        if min(wanted, real) < 2:
            raise ValueError(f"a distance takes 2 images or more on each side, not {wanted} and {real}")
        self.images.check()

    def maker(self, model: Illume) -> Make:
        """How a model makes the images."""
        if not self.rebuilds:
            return draws(model, self.images.record)

        def rebuild(orders: Sequence[Order]) -> Tensor:
            images = torch.stack([square_of(order.source, model.code_input.size) for order in orders])
            return model.decode(model.encode(images), [order.seed for order in orders])

        return rebuild


def fid_task(options: argparse.Namespace) -> Task:
    """Images of a folder, or drawn there from a file of prompts, against real ones or their statistics."""
    real = _real(options)
    if options.model is None:
        if options.prompts is not None:
            raise ValueError("--prompts says what to draw: give --model DIR as well, or leave it out")
        orders = _there(options.images)
        return Task(DrawnFolder(options.images, orders, spread(orders, options.limit), {}), real)
    if options.prompts is None:
        raise ValueError("--suite fid with --model needs --prompts FILE, one prompt a line")
    prompts = read_prompts(Path(options.prompts))
    orders = [Order(NUMBERED.format(i), seed_of(options.seed, i), text) for i, text in enumerate(prompts)]
    about = sampling_of(options) | {"suite": "fid", "prompts": len(prompts), "prompts_hash": hash_json(prompts)}
    wanted = spread(orders, options.limit)
    return Task(DrawnFolder(options.images, orders, wanted, record_of(options, **about)), real)


def _there(folder: Path) -> list[Order]:
    """The images of a folder that nobody adds to; one that was drawn here tells how many there should be."""
    drawn = read_record(folder)
    if drawn.get("suite") == "fid":
        return [Order(NUMBERED.format(i), 0, None) for i in range(drawn["prompts"])]
    return [Order(picture.name, 0, None) for picture in told_pictures(folder)]


def _real(options: argparse.Namespace) -> Sequence[Picture] | Gaussian:
    if options.real.suffix == ".npz":
        return read_statistics(options.real, WIDTH)
    return spread(told_pictures(options.real), options.limit)


def read_prompts(path: Path) -> list[str]:
    """Prompts, one a line.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no text, empty, or has an empty line.
    """
    lines = read_prompt_lines(path, "one with a prompt a line")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise ValueError(f"{path}:{number} is empty: each line is a prompt")
    return lines


def mjhq_task(options: argparse.Namespace) -> Task:
    """Drawings of MJHQ-30K's prompts against its images, by category too."""
    items = mjhq.read_items(options.real)
    wanted = mjhq.chosen(items, options.limit)
    real = mjhq.real_pictures(options.real, items, wanted)
    orders = [Order(f"{item.stem}.png", seed_of(options.seed, item.index), item.prompt) for item in items]
    about = sampling_of(options) | {"suite": "mjhq", "prompts_hash": hash_json([item.prompt for item in items])}
    groups = {name: rows for name, rows in mjhq.by_category(wanted).items() if len(rows) > 1}
    mine = [orders[item.index] for item in wanted]
    return Task(DrawnFolder(options.images, orders, mine, record_of(options, **about)), real, groups=groups)


def rfid_task(options: argparse.Namespace) -> Task:
    """What a model's tokenizer and detokenizer make of real images, against those images."""
    found = told_pictures(options.real)
    by_stem(found, {picture.stem for picture in found}, "")  # two of one stem would be one reconstruction
    orders = [Order(f"{p.stem}.png", seed_of(options.seed, i), p) for i, p in enumerate(found)]
    about = {"suite": "rfid", "real_hash": hash_json([f"{p.name} {p.size}" for p in found])}
    wanted = spread(orders, options.limit)
    real = [order.source for order in wanted]
    images = DrawnFolder(options.images, orders, wanted, record_of(options, **about))
    return Task(images, real, NEEDS["reconstruction"], rebuilds=True)


TASKS = {"fid": fid_task, "mjhq": mjhq_task, "rfid": rfid_task}
