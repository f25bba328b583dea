"""The playground's suite: everything that is measured of a model, as flat `name: value`."""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.checks import check_choice
from evals.contact_sheet import save_sheet
from evals.fidelity.frechet import fd_encoder
from evals.fidelity.inception import check_weights, torch_fidelity
from evals.fidelity.scores import fid
from evals.playground import contact_sheets
from evals.playground.codebook import codebook_scores
from evals.playground.editing import EditResult, edit_and_judge, editing_scores
from evals.playground.example_images import write_example_images
from evals.playground.geneval import Drawing, draw_and_judge, geneval_scores
from evals.playground.reconstruction import Reconstructions, reconstruct, reconstruction_scores
from evals.playground.self_assessment import assess_drawings, self_assessment_scores
from evals.playground.vqa import vqa_scores
from evals.settings import PlaygroundSettings
from judges.pixels import render_scenes
from models.folder_hash import folder_hash
from models.unified import Illume
from worlds.playground.sampler import scene_for
from worlds.playground.scene import IMAGE_SIZE

log = logging.getLogger(__name__)

VERSION = "1"  # of prompts, scenes and judge; a change that moves a figure changes it
DRAWS = ("encoder", "tokenizer", "detokenizer", "language", "text_tokenizer")
NEEDS = {  # the components of a model that each measure works with
    "codebook": ("encoder", "tokenizer"),
    "reconstruction": ("encoder", "tokenizer", "detokenizer"),
    "vqa": ("encoder", "language", "text_tokenizer"),
    "geneval": DRAWS,
    "editing": DRAWS,
}


@dataclass
class Results:
    """Scores by name, and what can be looked at."""

    scores: dict[str, Any] = field(default_factory=dict)
    drawings: list[Drawing] = field(default_factory=list)
    edits: list[EditResult] = field(default_factory=list)
    rebuilt: Reconstructions | None = None


def missing_components(model: Illume, measure: str) -> list[str]:
    """The components that a model lacks for a measure."""
    return [name for name in NEEDS[measure] if getattr(model, name) is None]


def supported_measures(model: Illume) -> list[str]:
    """The measures that a model has the components for."""
    return [name for name in NEEDS if not missing_components(model, name)]


def select_measures(model: Illume, measures: Sequence[str] | None) -> list[str]:
    """The measures to run: those asked for, or all that the model has the components for; others are logged.

    Raises:
        ValueError: there is no such measure, or the model lacks a component for one that is asked for.
    """
    for name in measures or ():
        model.require(*NEEDS[check_choice(name, NEEDS, "measure")], does=f"the measure {name}")
    if measures is not None:
        return list(measures)
    supported = supported_measures(model)
    for name in NEEDS if supported else ():
        if name not in supported:
            missing = " and no ".join(missing_components(model, name))
            log.warning("%s is not measured: the model has no %s", name, missing)
    return supported


def playground_suite(
    model: Illume,
    settings: PlaygroundSettings,
    images: Path | None = None,
    folder: Path | None = None,
    measures: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Runs measures of NEEDS (None: those that the model has the components for) on held-out combinations.

    Args:
        model: in eval mode.
        settings: sizes, seed and sampling.
        images: folder for example images and contact sheets, or None.
        folder: the model's folder, for its hash.
        measures: which to run.

    Raises:
        ValueError: the model supports none of the measures, or not those that are asked for, or takes images of another
            size; or a setting is out of range.
    """
    start, measures = time.monotonic(), select_measures(model, measures)
    if not measures:
        present = ", ".join(name for name in DRAWS if getattr(model, name) is not None) or "no components"
        raise ValueError(f"there is nothing to evaluate: the model has only {present}")
    check_size(model)
    if settings.inception is not None:
        torch_fidelity()
        check_weights(settings.inception)
    results, seed = Results(), settings.seed
    draw = model.generation.draw.override(settings.sampling)
    edit = model.generation.edit.override(settings.edit_sampling)
    for name in measures:
        if name == "codebook":
            results.scores |= codebook_scores(model, seed)
        elif name == "reconstruction":
            _reconstruct(model, results, settings)
        elif name == "vqa":
            results.scores |= vqa_scores(model, max(4, settings.samples * 4 // 3), seed)
        elif name == "geneval":
            results.drawings = draw_and_judge(model, settings.per_category, settings.seeds, seed, draw)
            _score_drawings(model, results, settings)
        else:
            results.edits = edit_and_judge(model, max(1, settings.samples // 3), seed, edit)
            results.scores |= editing_scores(results.edits)
        log.info("%s done after %.0f s", name, time.monotonic() - start)
    if images is not None:
        _write_images(model, results, Path(images), seed)
    report = results.scores | {"seed": seed, "samples": len(results.drawings) or settings.samples}
    report["seconds"] = round(time.monotonic() - start, 1)
    report |= asdict(draw) if "geneval" in measures else {}
    report |= {f"edit_{name}": value for name, value in asdict(edit).items()} if "editing" in measures else {}
    return report | ({"model": folder_hash(folder)} if folder is not None else {})


def check_size(model: Illume) -> None:
    """Raises ValueError where a model takes images of another size than the playground's."""
    if model.encoder.image_size != IMAGE_SIZE:
        raise ValueError(
            f"the model takes images of {model.encoder.image_size} pixels, the playground's have {IMAGE_SIZE}"
        )


def _reconstruct(model: Illume, results: Results, settings: PlaygroundSettings) -> None:
    results.rebuilt = rebuilt = reconstruct(model, max(2, settings.samples), settings.seed)
    results.scores |= reconstruction_scores(model, rebuilt)
    if settings.inception is not None:
        results.scores["reconstruction/fid"] = fid(rebuilt.whole, rebuilt.real, settings.inception)


def _score_drawings(model: Illume, results: Results, settings: PlaygroundSettings) -> None:
    """GenEval, and Frechet distances to scenes that the playground itself draws for the same prompts."""
    drawings, scores = results.drawings, results.scores
    scores |= geneval_scores(drawings)
    rng = np.random.default_rng([settings.seed, 44])
    real = render_scenes([scene_for(rng, d.prompt.spec) for d in drawings])
    images: Tensor = torch.stack([d.image.cpu() for d in drawings])  # (B, 3, H, W)
    scores["fd_encoder"] = fd_encoder(model, images, real)
    if settings.inception is not None:
        scores["fid"] = fid(images, real, settings.inception)
    if settings.assess:
        scores |= self_assessment_scores(drawings, assess_drawings(model, drawings), settings.seeds)


def _write_images(model: Illume, results: Results, folder: Path, seed: int) -> None:
    """Writes example images, where there is one of everything, and a contact sheet of each kind."""
    sheets = contact_sheets.drawing_sheets(results.drawings)
    if results.rebuilt is not None:
        sheets["reconstructions"] = contact_sheets.reconstruction_sheet(results.rebuilt)
    if results.edits:
        write_example_images(folder, results.drawings, results.rebuilt, results.edits)
        sheets["edits"] = contact_sheets.edit_sheet(results.edits)
        if (stories := contact_sheets.story_sheet(model, seed=seed)) is not None:
            sheets["stories"] = stories
    for name, sheet in sheets.items():
        save_sheet(sheet, folder / f"sheet-{name}.png")
