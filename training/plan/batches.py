"""Batches of a workload: token ids and masks as they come, and images of which only the size counts."""

from typing import Any

import torch
from torch import Tensor

from datamodules.image_datamodule import ImageBatch
from lightning_modules.stage_module import StageModule
from models.sequence import PackedBatch
from models.unified import Illume
from training.plan.workload import Workload

CAPTION = 48  # tokens of a detailed caption, in the encoder's stage (assumed)


def planned_batch(stage: StageModule, load: Workload, image_size: int) -> Any:
    """A batch for the `loss` of a configured stage."""
    if load.length:
        return _packed(stage.model, load, image_size)
    code_size = image_size if stage.code_input is None else stage.code_input.size
    return ImageBatch(
        _images(load.rows, image_size),
        torch.zeros(load.rows, CAPTION, dtype=torch.long),
        _images(load.rows, code_size) if code_size != image_size else None,
    )


def _images(count: int, size: int) -> Tensor:
    return torch.zeros(count, 3, size, size, dtype=torch.uint8)


def _packed(model: Illume, load: Workload, image_size: int) -> PackedBatch:
    """Rows of one document each; blocks of codes beyond the drawn images have their codes already."""
    language, shared = model.language, model.understanding_encoder is None
    shape, tokens = (load.rows, load.length), load.rows * load.length
    order = (
        torch.arange(tokens).view(shape).roll(-1, 1).T.flatten()
    )  # what begins a row, and is no target, comes last
    blocks = min(max(load.drawn, -(-load.codes // language.draw_tokens)), tokens // language.draw_tokens)
    code_size = model.code_input.size if load.drawn else image_size
    two_sizes = bool(load.drawn and load.seen) and code_size != image_size
    images = load.encoded if shared else load.seen if two_sizes else load.seen + load.drawn
    drawn = torch.full((blocks,), -1)
    drawn[: load.drawn] = torch.arange(load.drawn) + (0 if two_sizes else images - load.drawn)
    zeros = torch.zeros(shape, dtype=torch.long)

    def first(count: int) -> Tensor:
        return torch.zeros(tokens, dtype=torch.bool).index_fill(0, order[:count], True).view(shape)

    draw_mask = first(blocks * language.draw_tokens)
    return PackedBatch(
        ids=zeros.masked_fill(draw_mask, language.vocabulary.first_code),
        documents=zeros,
        positions=zeros,
        branches=zeros,
        learn=first(load.texts + load.codes),
        see_blocks=zeros,
        see_mask=first(load.seen * language.see_tokens),
        draw_mask=draw_mask,
        images=_images(images, image_size if load.seen else code_size),
        see_images=torch.arange(load.seen),
        draw_images=drawn,
        see_features=torch.zeros(0, 1, 1),
        code_images=_images(load.drawn if two_sizes else 0, code_size),
    )
