"""UNIT, ILLUME's own vision encoder, from the folder that its authors published (arXiv 2409.04095; UNIT_600M, UNIT_1B).

It is a RADIO-like ViT: its patches, positions that are cropped and interpolated, and blocks are `transformers`'
`RadioModel`, its weights under names of timm. A norm follows the last block, and the parameter-free LayerNorm that the
authors call crucial before a language model follows that.

This loader has never been run on the published weights, only on folders that tests lay out by the published code's names.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.json_files import read_object
from models.published import PICKLES, check_files
from models.tokenizer.pretrained_encoder import PretrainedEncoder
from models.weights import fill_buffers, read_tensors, set_tensors, weight_files

PREFIX = "unit_model."
NAMES = {  # of the published folder, and of RadioModel
    "model.patch_generator.embedder.weight": "embeddings.patch_projection.weight",
    "model.patch_generator.pos_embed": "embeddings.position_embedding",
    "model.patch_generator.cls_token.token": "embeddings.cls_register_token",
    "input_conditioner.norm_mean": "input_conditioner.norm_mean",
    "input_conditioner.norm_std": "input_conditioner.norm_std",
}
HEADS = 16  # of both published sizes, as of ViT-H/14


def is_unit(folder: Path) -> bool:
    """Whether a folder's config says that it is UNIT's."""
    try:
        config = read_object(folder / "config.json", allow_nan=True)
    except (OSError, ValueError):
        return False
    args = config.get("args")
    return "UNIT" in str(config.get("architectures")) or (isinstance(args, dict) and "cpe_max_size" in args)


def read_unit(
    source: str, weights: bool = True, pickled: bool = False, heads: int = HEADS, **settings: Any
) -> PretrainedEncoder:
    """UNIT from a local folder.

    Args:
        source: the folder.
        weights: without them it is made on the meta device; shapes are read off the tensors even so.
        pickled: reads weights that are only there as a pickle, with `weights_only=True`.
        heads: attention heads, which no tensor tells.
        settings: of `PretrainedEncoder`.

    Raises:
        FileNotFoundError: there are no weights.
        ValueError: tensors are missing, unknown or of another shape; the message names and counts them.
    """
    folder = Path(source)
    check_files(source, "main", pickled)
    tensors = dict(_renamed(_tensors(folder)))
    with torch.device("meta"):
        encoder = PretrainedEncoder(_recipe(tensors, folder, heads), final_norm=True, **settings)
    if not weights:
        return encoder
    for layer in range(encoder.model.config.num_hidden_layers):  # RADIO's scales, which UNIT does not have
        for scale in ("layer_scale1", "layer_scale2"):
            tensors[f"model.encoder.layer.{layer}.{scale}.lambda1"] = torch.ones(encoder.width)
    tensors["model.summary_idxs"] = torch.tensor(encoder.model.config.summary_idxs)
    set_tensors(encoder, iter(tensors.items()), folder, as_stored=False)
    fill_buffers(encoder)
    return encoder


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        files = weight_files(folder)
    except FileNotFoundError:  # asked for as a pickle, or `check_files` had refused it
        yield from torch.load(folder / PICKLES[0], map_location="cpu", weights_only=True, mmap=True).items()
        return
    yield from read_tensors(files)


def _renamed(tensors: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Published names to this encoder's; what queries, keys and values share is parted."""
    for name, tensor in tensors:
        own = name.removeprefix(PREFIX)
        if own in NAMES:
            yield f"model.{NAMES[own]}", tensor
        elif own.startswith("model.norm."):
            yield own.replace("model.norm.", "final_norm."), tensor
        elif own.startswith("model.blocks."):
            own = own.replace("model.blocks.", "model.encoder.layer.")
            if ".attn.qkv." in own:
                for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                    yield own.replace(".attn.qkv.", f".attention.{part}_proj."), piece
            else:
                yield own.replace(".attn.proj.", ".attention.o_proj."), tensor
        else:
            yield name, tensor


def _recipe(tensors: dict[str, Tensor], folder: Path, heads: int) -> dict[str, Any]:
    """RadioModel's config, read off the shapes."""
    try:
        width, flat = tensors["model.embeddings.patch_projection.weight"].shape
        places = tensors["model.embeddings.position_embedding"].shape[1]
        prefix = len(tensors["model.embeddings.cls_register_token"])
        inner = len(tensors["model.encoder.layer.0.mlp.fc1.weight"])
    except KeyError as error:
        raise ValueError(f"{folder} is not laid out as UNIT's: it lacks {error.args[0]}") from error
    layers = sum(name.endswith("mlp.fc1.weight") for name in tensors)
    patch, side = round((flat / 3) ** 0.5), round(places**0.5)
    return {
        "model_type": "radio",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "mlp_ratio": inner / width,
        "patch_size": patch,
        "max_img_size": side * patch,
        "num_cls_tokens": 1,
        "num_registers": prefix - 1,
        "summary_idxs": [0],
    }
