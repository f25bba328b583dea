"""The playground's suite: everything that is measured of a model, as flat `name: value`."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
from evals.playground import contact_sheets as contact
from evals.playground.codebook import codebook_scores
from evals.playground.editing import EditResult, edit_and_judge, editing_scores
from evals.playground.example_images import write_pictures
from evals.playground.geneval import Drawing, draw_and_judge, geneval_scores
from evals.playground.reconstruction import Reconstructions, rebuild, reconstruction_scores
from evals.playground.self_assessment import assess_drawings, own_assessment_scores
from evals.playground.vqa import vqa_scores
from judges.pixels import render_scenes
from models.generation import SamplingConfig
from models.folder_hash import folder_hash
from models.unified import Illume
from worlds.playground.sampler import scene_for
from worlds.playground.scene import IMAGE_SIZE

log = logging.getLogger(__name__)

VERSION = "1"  # of prompts, scenes and judge; a change that moves a figure moves it
DRAWS = ("encoder", "tokenizer", "detokenizer", "language", "text_tokenizer")
NEEDS = {  # the parts of a model that each measure works with
    "codebook": ("encoder", "tokenizer"),
    "reconstruction": ("encoder", "tokenizer", "detokenizer"),
    "vqa": ("encoder", "language", "text_tokenizer"),
    "geneval": DRAWS,
    "editing": DRAWS,
}


@dataclass
class Shown:
    """What the measures made that can be looked at."""

    drawings: list[Drawing]
    edited: list[EditResult]
    rebuilt: Reconstructions | None = None


def supported_measures(model: Illume) -> list[str]:
    """The measures that a model has the parts for."""
    return [name for name, parts in NEEDS.items() if all(getattr(model, part) is not None for part in parts)]


def select_measures(model: Illume, measures: Sequence[str] | None) -> list[str]:
    """The measures to run: those asked for, or all that the model has the parts for; the others are told of.

    Raises:
        ValueError: there is no such measure, or the model lacks a part for one that is asked for.
    """
    for name in measures or ():
        check_choice(name, tuple(NEEDS), "measure")
        model.require(*NEEDS[name], does=f"the measure {name}")
    if measures is not None:
        return list(measures)
    able = supported_measures(model)
    for name in [name for name in NEEDS if able and name not in able]:
        lacks = " and no ".join(part for part in NEEDS[name] if getattr(model, part) is None)
        log.warning("%s is not measured: the model has no %s", name, lacks)
    return able


def playground_suite(
    model: Illume,
    seed: int = 0,
    per_category: int = 50,
    seeds: int = 4,
    samples: int = 600,
    images: Path | None = None,
    folder: Path | None = None,
    inception: Path | None = None,
    assess: bool = False,
    measures: Sequence[str] | None = None,
    edit_sampling: Mapping[str, Any] | None = None,
    **sampling: Any,
) -> dict[str, Any]:
    """Runs every evaluation that the model has the parts for, on held-out combinations.

    Drawings and edits are sampled as the model's own settings say; the report says how.

    Args:
        model: in eval mode.
        seed: of prompts, scenes and drawings.
        per_category: GenEval prompts a category.
        seeds: drawings a prompt.
        samples: scenes rebuilt, questions asked (as many and a third more) and edits made (a third).
        images: folder for pictures and contact sheets, or None.
        folder: the model's folder, for its hash.
        inception: file of Inception weights, for FID.
        assess: whether the model assesses GenEval's drawings itself, as one taught by self-enhancement can.
        measures: which of them to run, of NEEDS; None: those that the model has the parts for; it is told which not.
        edit_sampling: cfg, temperature, top_k and top_p of edits, where they are not the model's own.
        sampling: the same of GenEval's drawings.

    Raises:
        ValueError: the model can do none of the measures, or not those that are asked for, or takes images of another
            size; or a setting is out of range.
    """
    start, able = time.monotonic(), select_measures(model, measures)
    _check(model, able, inception)
    draw = model.generation.draw.override(SamplingConfig(**sampling))
    edit = model.generation.edit.override(SamplingConfig(**(edit_sampling or {})))
    scores: dict[str, Any] = {}
    shown = Shown([], [])
    for name in able:
        if name == "codebook":
            scores |= codebook_scores(model, seed)
        elif name == "reconstruction":
            scores |= _reconstruct(model, shown, samples, seed, inception)
        elif name == "vqa":
            scores |= vqa_scores(model, max(4, samples * 4 // 3), seed)
        elif name == "geneval":
            shown.drawings = draw_and_judge(model, per_category, seeds, seed, **asdict(draw))
            scores |= geneval_scores(shown.drawings) | _likeness(model, shown.drawings, seed, inception)
            if assess:
                opinions = assess_drawings(model, shown.drawings)
                scores |= own_assessment_scores(shown.drawings, opinions, seeds)
        else:
            shown.edited = edit_and_judge(model, max(1, samples // 3), seed, **asdict(edit))
            scores |= editing_scores(shown.edited)
        log.info("%s done after %.0f s", name, time.monotonic() - start)
    if images is not None:
        _show(model, shown, Path(images), seed)
    count = len(shown.drawings) or samples
    about = {"seed": seed, "samples": count, "seconds": round(time.monotonic() - start, 1)}
    about |= asdict(draw) if "geneval" in able else {}
    about |= {f"edit_{name}": value for name, value in asdict(edit).items()} if "editing" in able else {}
    return scores | about | ({"model": folder_hash(folder)} if folder is not None else {})


def check_size(model: Illume) -> None:
    """Makes sure that a model takes images of the playground's size.

    Raises:
        ValueError: it takes others.
    """
    if model.encoder.image_size != IMAGE_SIZE:
        raise ValueError(
            f"the model takes images of {model.encoder.image_size} pixels, the playground's have {IMAGE_SIZE}"
        )


def _check(model: Illume, able: list[str], inception: Path | None) -> None:
    if not able:
        there = [part for part in DRAWS if getattr(model, part) is not None]
        raise ValueError(f"there is nothing to evaluate: the model has only {', '.join(there) or 'no parts'}")
    check_size(model)
    if inception is not None:
        torch_fidelity()
        check_weights(inception)


def _reconstruct(
    model: Illume, shown: Shown, samples: int, seed: int, inception: Path | None
) -> dict[str, float]:
    shown.rebuilt = rebuild(model, max(2, samples), seed)
    scores = reconstruction_scores(model, shown.rebuilt)
    if inception is not None:
        scores["reconstruction/fid"] = fid(shown.rebuilt.whole, shown.rebuilt.real, inception)
    return scores


def _likeness(model: Illume, drawings: list[Drawing], seed: int, inception: Path | None) -> dict[str, float]:
    """Frechet distances of drawings to scenes that the playground itself draws for the same prompts."""
    rng = np.random.default_rng([seed, 44])
    real = render_scenes([scene_for(rng, d.prompt.spec) for d in drawings])
    images = _stacked(drawings)
    scores = {"fd_encoder": fd_encoder(model, images, real)}
    return scores | ({"fid": fid(images, real, inception)} if inception is not None else {})


def _stacked(drawings: list[Drawing]) -> Tensor:
    """The drawn images (B, 3, H, W)."""
    return torch.stack([d.image.cpu() for d in drawings])


def _show(model: Illume, shown: Shown, folder: Path, seed: int) -> None:
    """Writes single pictures, where there is one of everything, and a contact sheet of each kind."""
    sheets = {f"sheet-{name}": sheet for name, sheet in contact.drawing_sheets(shown.drawings).items()}
    if shown.rebuilt is not None:
        sheets["sheet-reconstructions"] = contact.reconstruction_sheet(shown.rebuilt)
    if shown.edited:
        write_pictures(folder, shown.drawings, shown.rebuilt, shown.edited)
        sheets["sheet-edits"] = contact.edit_sheet(shown.edited)
        if (stories := contact.story_sheet(model, seed=seed)) is not None:
            sheets["sheet-stories"] = stories
    for name, sheet in sheets.items():
        save_sheet(sheet, folder / f"{name}.png")
