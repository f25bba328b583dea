"""UNIT, ILLUME's own vision encoder, from the folder that its authors published (arXiv 2409.04095; UNIT_600M, UNIT_1B).

It is a RADIO-like ViT: its patches, positions that are cropped and interpolated, and blocks are `transformers`'
`RadioModel`, its weights under names of timm. A norm follows the last block, and the parameter-free LayerNorm that the
authors call crucial before a language model follows that.

This loader has never been run on the published weights, only on folders that tests lay out by the published code's names.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.json_files import read_object
from models.published import check_files, published_files
from models.tokenizer.pretrained_encoder import PretrainedEncoder
from models.weights import fill_buffers, read_tensors, set_tensors

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
    """Whether a folder is UNIT's, by its config."""
    try:
        config = read_object(folder / "config.json", allow_nan=True)
    except (OSError, ValueError):
        return False
    args = config.get("args")
    return "UNIT" in str(config.get("architectures")) or (isinstance(args, dict) and "cpe_max_size" in args)


def read_unit(
    source: str, weights: bool = True, pickled: bool = False, heads: int = HEADS, **settings: Any
) -> PretrainedEncoder:
    """UNIT from a local folder, with the settings of `PretrainedEncoder`; `heads` is shown by no tensor.

    Without `weights` it is made on the meta device; `pickled` allows a pickle, read with weights_only.
    """
    folder = Path(source)
    check_files(source, "main", pickled)
    tensors = dict(_rename(read_tensors(published_files(folder, pickled))))
    with torch.device("meta"):
        encoder = PretrainedEncoder(_config(tensors, folder, heads), final_norm=True, **settings)
    if not weights:
        return encoder
    config = encoder.model.config
    for layer in range(config.num_hidden_layers):  # RADIO's scales, which UNIT does not have
        for scale in ("layer_scale1", "layer_scale2"):
            tensors[f"model.encoder.layer.{layer}.{scale}.lambda1"] = torch.ones(encoder.width)
    tensors["model.summary_idxs"] = torch.tensor(config.summary_idxs)
    set_tensors(encoder, tensors.items(), folder, as_stored=False)
    fill_buffers(encoder)
    return encoder


def _rename(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Published names to this encoder's; the shared projection of queries, keys and values is split."""
    for name, tensor in tensors:
        own = name.removeprefix(PREFIX)
        if own in NAMES:
            yield f"model.{NAMES[own]}", tensor
        elif own.startswith("model.norm."):
            yield own.replace("model.norm.", "final_norm."), tensor
        elif own.startswith("model.blocks."):
            own = own.replace("model.blocks.", "model.encoder.layer.")
            if ".attn.qkv." in own:
                for letter, chunk in zip("qkv", tensor.chunk(3), strict=True):
                    yield own.replace(".attn.qkv.", f".attention.{letter}_proj."), chunk
            else:
                yield own.replace(".attn.proj.", ".attention.o_proj."), tensor
        else:
            yield name, tensor


def _config(tensors: dict[str, Tensor], folder: Path, heads: int) -> dict[str, Any]:
    """RadioModel's config, read off the shapes."""
    try:
        width, flat = tensors["model.embeddings.patch_projection.weight"].shape
        positions = tensors["model.embeddings.position_embedding"].shape[1]
        prefix = len(tensors["model.embeddings.cls_register_token"])
        inner = len(tensors["model.encoder.layer.0.mlp.fc1.weight"])
    except KeyError as error:
        raise ValueError(f"{folder} is not laid out as UNIT's: it lacks {error.args[0]}") from error
    layers = sum(name.endswith("mlp.fc1.weight") for name in tensors)
    patch, side = round((flat / 3) ** 0.5), round(positions**0.5)
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
