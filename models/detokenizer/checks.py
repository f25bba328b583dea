"""Whether UNet, VAE and features fit each other: checked by their sizes, before any weights are loaded."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from models.component_config import check_keys

MAX_ENLARGEMENT = 64  # times the grid's side that an image may have; 32 in the paper


def check_numbers(kind: Any, sizes: Mapping[str, Any], what: str) -> None:
    """Raises ValueError where a network has no such key, or a size is no whole number above zero."""
    known = inspect.signature(kind.__init__).parameters
    check_keys(sizes, known, what)
    for name, value in sizes.items():
        if value is not None and _are_sizes(known[name].default) and not _are_sizes(value):
            raise ValueError(f"{what}'s {name} must be of whole numbers above 0, not {value!r}")


def _are_sizes(value: Any) -> bool:
    return all(type(number) is int and number > 0 for number in _flatten(value))


def _flatten(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _flatten(inner)
    else:
        yield value


def check_drawing(image_size: int, grid: int, steps: int, max_steps: int) -> None:
    """Raises ValueError where a number that no weight bears out would make drawing fail, or never end."""
    for name, value in (("image_size", image_size), ("grid", grid), ("steps", steps)):
        if value < 1:
            raise ValueError(f"{name} is {value}: it must be at least 1")
    if image_size > MAX_ENLARGEMENT * grid:
        raise ValueError(f"image_size {image_size} is more than {MAX_ENLARGEMENT} times the grid's {grid}")
    if steps > max_steps:
        raise ValueError(f"steps is {steps}, and the noise schedule has {max_steps}")


def check_latents(unet: Mapping[str, Any], channels: int) -> None:
    """Raises ValueError where a published UNet is not for latents of so many channels."""
    takes, gives = unet.get("in_channels", 4), unet.get("out_channels", 4)
    if takes != channels or gives != channels:
        raise ValueError(
            f"the UNet takes {takes} channels and gives {gives}, the VAE's latents have {channels}: they are not of one "
            "plain Stable Diffusion (one for inpainting takes 9)"
        )


def check_sizes(unet: Any, vae: Any, image_size: int, grid: int | None) -> None:
    """Raises ValueError where images do not divide to the UNet's lowest level, or it needs more than features.

    `unet` and `vae` are diffusers configs, `grid` the side of features that are concatenated to the latents, if they are.
    """
    multiple = 2 ** (len(vae.block_out_channels) + len(unet.block_out_channels) - 2)
    if image_size < multiple or image_size % multiple:
        raise ValueError(
            f"image_size {image_size} is no multiple of {multiple}, by which VAE and UNet reduce it"
        )
    side = image_size // 2 ** (len(vae.block_out_channels) - 1)
    if grid is not None and grid > side:
        raise ValueError(f"{grid} x {grid} features cannot be laid over {side} x {side} latents")
    for name in ("class_embed_type", "num_class_embeds", "encoder_hid_dim_type"):
        if unet[name] is not None:
            raise ValueError(f"the UNet has {name} {unet[name]}, which features cannot serve")
    if unet.addition_embed_type not in (None, "text_time") or not isinstance(unet.cross_attention_dim, int):
        raise ValueError("the UNet is conditioned as neither Stable Diffusion 1.5 and 2.1 nor SDXL are")


def pooled_width(unet: Any) -> int:
    """Width of SDXL's pooled text: what its projection takes, less the six sizes beside it; 0 where there is none."""
    if unet.addition_embed_type is None:
        return 0
    whole, one = unet.projection_class_embeddings_input_dim, unet.addition_time_embed_dim
    if whole <= 6 * one:
        raise ValueError(
            f"the UNet's projection_class_embeddings_input_dim {whole} is no more than six sizes of {one}"
        )
    return whole - 6 * one
