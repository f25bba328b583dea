"""Emu Edit and MagicBrush as suites of `python -m evals`: checked, drawn where there is a model, measured and summed up.

IMAGES/NAME                  a result (the names are told in emu_edit.py and magicbrush.py)
IMAGES/drawn.json            model, seed and settings of the drawings
IMAGES/scores-HASH.jsonl     a result's measures a line; the hash is that of CLIP, DINO and protocol
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from common.hashes import hash_bytes, hash_json
from common.images import open_image
from evals.clip import ClipNetwork
from evals.drawing import Make, Order, seed_of, who_drew
from evals.drawing_options import BATCH, check_sampling, load_model, record_of, sampling_of
from evals.drawn_folder import DrawnFolder
from evals.editing.dino import Dino
from evals.editing.edits import Benchmark, Comparison
from evals.editing.emu_edit import read_emu_edit
from evals.editing.magicbrush import read_magicbrush
from evals.editing.measures import Measures
from evals.editing.scores import summary
from evals.image_sets import Picture
from evals.playground.suite import NEEDS
from evals.ranks import Ranks
from evals.score_cache import KeptScores, Numbers, scores_file
from models.generation import SamplingConfig
from models.image_input import ImageInput
from models.sampling_options import NAMES

SUITES = ("emu_edit", "magicbrush")
VERSION = "2"  # of the measures; a change that moves a figure moves it (2: the source's size, and what the model sees)


class Edits(Protocol):
    """What edits, as `Illume` does."""

    device: torch.device
    image_input: ImageInput

    def edit_batch(
        self,
        images: Tensor,
        instructions: Sequence[str],
        seeds: list[int],
        sampling: SamplingConfig,
    ) -> Tensor:
        """Images (B, 3, H, W) uint8 by instructions; same shape out."""


def run(options: argparse.Namespace, ranks: Ranks) -> dict[str, Any]:
    """Draws what is missing, if there is a model, then measures; returns the report.

    Of several processes all draw and the first measures; the others return nothing.

    Raises:
        FileNotFoundError: a file, a folder or an image is not there.
        ValueError: options, benchmark, results, networks or model that do not fit each other.
    """
    benchmark = benchmark_of(options)
    about = sampling_of(options, "edit") | asked(benchmark)
    results = folder_of(options.images, benchmark, record_of(options, **about), options.seed)
    results.check()
    measures = supported_measures(options) if ranks.first else None
    if results.record:
        model = load_model(options, NEEDS["editing"], "edit")
        results.fill(edits(model, results.record), options.batch or BATCH, ranks)
        del model
    if measures is None:
        return {}
    scores = measure(results, benchmark, measures)
    return scores | who_drew(options.images)


def check(options: argparse.Namespace) -> None:
    """What can be told from the options alone."""
    needed = ("images", "data", "clip", "dino")
    if lost := [f"--{name}" for name in needed if getattr(options, name) is None]:
        raise ValueError(f"--suite {options.suite} needs {' and '.join(lost)}")
    check_sampling(options)


def benchmark_of(options: argparse.Namespace) -> Benchmark:
    """The test set that the options choose.

    Raises:
        FileNotFoundError: a file or an image of it is not there.
        ValueError: one is not what it should be.
    """
    if options.suite == "emu_edit":
        return read_emu_edit(Path(options.data), options.split or "test", options.limit)
    return read_magicbrush(Path(options.data), options.images, options.multi_turn, options.limit)


def asked(benchmark: Benchmark) -> dict[str, str]:
    """What tells results of these edits from others."""
    words = hash_json([[one.name, one.instruction] for one in benchmark.edits])
    return {"suite": benchmark.name, "edits_hash": words}


def supported_measures(options: argparse.Namespace) -> Measures:
    """CLIP and DINO, as the options choose.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: one does not load, or is of another kind.
    """
    clip = ClipNetwork(options.clip, options.device, "clip-vit-base-patch32")
    return Measures(clip, Dino(options.dino, options.device))


def folder_of(path: Path, benchmark: Benchmark, record: Mapping[str, Any], seed: int) -> DrawnFolder:
    """The folder of a benchmark's results.

    Args:
        path: where it is.
        benchmark: what is asked for; an edit's place in it fixes its seed.
        record: who edits; empty where nothing is drawn.
        seed: of the whole.
    """
    orders = [
        Order(edit.name, seed_of(seed, i), edit, edit.series, edit.round)
        for i, edit in enumerate(benchmark.edits)
    ]
    return DrawnFolder(path, orders, [order for order in orders if order.path in benchmark.wanted], record)


def edits(model: Edits, record: Mapping[str, Any]) -> Make:
    """How a model makes results.

    Args:
        model: edits. An image before goes in whole, stretched to the square that it sees, so that the result has all
            of it; results are brought back to the source's shape where they are measured.
        record: the sampling settings.
    """

    def make(orders: Sequence[Order]) -> Tensor:
        before = [open_image(one.source.before(), f"the image before {one.path}") for one in orders]
        images = torch.stack([model.image_input.square(image, "stretch") for image in before]).to(
            model.device
        )
        words, seeds = [one.source.instruction for one in orders], [one.seed for one in orders]
        return model.edit_batch(
            images, words, seeds, SamplingConfig(**{name: record[name] for name in NAMES})
        )

    return make


def measure(results: DrawnFolder, benchmark: Benchmark, measures: Measures) -> dict[str, Any]:
    """Measures the results, each once however often this is begun, and sums up.

    Raises:
        FileNotFoundError: one is missing.
        ValueError: there is one that nobody asked for, or an image that cannot be read.
    """
    pictures = results.pictures()
    ones = {one.name: one for group in benchmark.comparisons.values() for one in group}
    about = {"clip": measures.clip.name, "dino_network": measures.dino.name}
    about |= {"protocol": benchmark.protocol, "version": VERSION}
    stamps = {name: _stamp(pictures[name], one) for name, one in ones.items()}
    kept = KeptScores(scores_file(results.path, about), stamps)

    def numbers(name: str) -> Numbers:
        image = open_image(pictures[name].read(), pictures[name].where)
        return measures.of(image, ones[name])

    kept.complete(numbers)
    report: dict[str, Any] = {}
    for prefix, comparisons in benchmark.comparisons.items():
        report |= summary(prefix, comparisons, kept.known)
    return report | {"samples": len(ones), "results": kept.path.name} | about


def _stamp(picture: Picture, one: Comparison) -> str:
    """All that a result's measures rest on."""
    words = (one.words_before.encode(), one.words_after.encode())
    return hash_bytes(picture.read(), one.before(), one.reference(), *words)
