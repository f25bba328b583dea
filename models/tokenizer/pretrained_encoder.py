"""Published vision encoders behind the interface of ours: CLIP, SigLIP, DINOv2 and RADIO, of `transformers`.

ILLUME's encoder is UNIT (section 3.1), whose weights `models/tokenizer/unit.py` reads; OpenCLIP's ViT-H/14, from which
the smaller UNIT began, stands in for it.
"""

import inspect
from functools import partial
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import (
    AutoConfig,
    CLIPVisionModel,
    Dinov2Model,
    PretrainedConfig,
    PreTrainedModel,
    RadioModel,
    SiglipVisionModel,
)
from transformers.modeling_layers import GradientCheckpointingLayer

from common.checks import check_choice
from models.component import Component
from models.component_config import check_keys
from models.precision import ComputeDtype, FullPrecision
from models.published import check_files, read_published
from models.published_config import read_config
from models.tokenizer.encoder import check_size
from models.weights import check_finite_module, list_names

FAMILIES: dict[str, type[PreTrainedModel]] = {
    "clip_vision_model": CLIPVisionModel,
    "siglip_vision_model": SiglipVisionModel,
    "dinov2": Dinov2Model,
    "radio": RadioModel,
}
TWO_TOWERS = {"clip": "clip_vision_model", "siglip": "siglip_vision_model"}  # and their vision tower
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PIXELS = {  # mean and deviation that the published weights of each family expect
    "clip_vision_model": CLIP,
    "siglip_vision_model": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "dinov2": IMAGENET,
    "radio": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # it normalizes by itself
}
ABOUT_FILES = {
    "architectures",
    "dtype",
    "transformers_version",
    "_name_or_path",
    "id2label",
    "label2id",
    "model_type",
}


class PretrainedEncoder(FullPrecision, Component):
    """A published ViT: square images of its size in (see `models/image_input.py`), a grid of features out.

    Args:
        model: its config as a dict, with `model_type`: one of FAMILIES.
        image_size: side of the images in pixels, a multiple of the patch; positions are interpolated.
        reduce: averages squares of so many features to a side: 2 makes 256 of 1,024 (ILLUME takes 448 pixels to 256
            tokens; how it reduces is not published, so averaging is assumed).
        drop_layers: last layers that are left out (1 in LLaVA, 0 here; assumed), and with them the norm that follows.
        final_norm: whether a norm with weights follows the last layer (UNIT's).
        norm: scales features to zero mean and unit variance, which UNIT's authors call crucial before a language model.
        mean: of the pixels, by channel; None: the family's.
        std: of the pixels, by channel; None: the family's.
        compute_dtype: of the forward pass where the encoder is frozen; bfloat16 is faster at ViT-H's size. Everything
            that makes codes reads it from the model folder (docs/decisions/); weights stay in single precision.
    """

    def __init__(
        self,
        model: dict[str, Any],
        image_size: int = 224,
        reduce: int = 1,
        drop_layers: int = 0,
        final_norm: bool = False,
        norm: bool = True,
        mean: list[float] | None = None,
        std: list[float] | None = None,
        compute_dtype: ComputeDtype = "float32",
    ) -> None:
        super().__init__()
        check_choice(compute_dtype, get_args(ComputeDtype), "the encoder's compute_dtype")
        self.compute_dtype = compute_dtype
        config = _vision_config(model, drop_layers)
        self.patch, self.width = config.patch_size, config.hidden_size
        self.set_input(image_size, reduce)
        self.model = _drop_unread_norm(FAMILIES[config.model_type](config), drop_layers)
        self.final_norm = nn.LayerNorm(self.width, eps=1e-6) if final_norm else None
        self.norm = nn.LayerNorm(self.width, elementwise_affine=False) if norm else nn.Identity()
        usual_mean, usual_std = PIXELS[config.model_type]
        self.mean, self.std = list(mean or usual_mean), list(std or usual_std)

    def set_input(self, image_size: int, reduce: int = 1) -> None:
        """Sets another image size or reduction, with the same weights; raises ValueError where the patch does not fit."""
        if image_size % (self.patch * reduce):
            raise ValueError(
                f"the encoder's image_size {image_size} is not a multiple of patch {self.patch} x reduce {reduce}"
            )
        self.image_size, self.reduce = image_size, reduce
        self.grid = image_size // (self.patch * reduce)
        self.config |= {"image_size": image_size, "reduce": reduce}

    @property
    def tokens(self) -> int:
        """Features of an image."""
        return self.grid * self.grid

    def activation_checkpointing_enable(self) -> None:
        """Recomputes activations by layer, in eval mode too, in which an encoder is trained in stage 3.

        The library's own checkpointing is off in eval mode.
        """
        for layer in self.model.modules():
            if isinstance(layer, GradientCheckpointingLayer):
                layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 of `image_size` -> (B, N, D) features."""
        check_size(images, self.image_size)
        dtype = next(self.model.parameters()).dtype
        pixels = images.to(dtype) / 255
        mean, std = (
            torch.tensor(x, device=pixels.device, dtype=dtype)[:, None, None] for x in (self.mean, self.std)
        )
        side = self.image_size // self.patch
        options = {"interpolate_pos_encoding": True} if self._interpolates else {}
        hidden = self.model((pixels - mean) / std, **options).last_hidden_state  # (B, prefix + P, D)
        hidden = hidden[:, -side * side :]
        if self.final_norm is not None:
            hidden = self.final_norm(hidden)
        if self.reduce > 1:
            grid = hidden.transpose(1, 2).unflatten(2, (side, side))  # (B, D, h, w)
            hidden = F.avg_pool2d(grid, self.reduce).flatten(2).transpose(1, 2)
        return self.norm(hidden)

    @property
    def _interpolates(self) -> bool:
        """DINOv2 and RADIO always do; CLIP and SigLIP must be asked."""
        return "interpolate_pos_encoding" in inspect.signature(type(self.model).forward).parameters


def _vision_config(model: dict[str, Any], drop_layers: int) -> PretrainedConfig:
    kind = model.get("model_type")
    if kind not in FAMILIES:
        raise ValueError(
            f"an encoder of model_type {kind!r} is not known here; there is {', '.join(FAMILIES)}"
        )
    settings = {key: value for key, value in model.items() if key != "model_type"}
    check_keys(settings, AutoConfig.for_model(kind).to_dict(), "the encoder's model")
    config = AutoConfig.for_model(kind, **settings)
    if not 0 <= drop_layers < config.num_hidden_layers:
        raise ValueError(f"drop_layers {drop_layers}: the encoder has {config.num_hidden_layers} layers")
    config.num_hidden_layers -= drop_layers
    if kind == "siglip_vision_model":
        config.vision_use_head = False  # it pools, and nobody reads that
    return config


def vision_config(config: PretrainedConfig, source: str) -> dict[str, Any]:
    """The encoder's settings in a published config, of the encoder alone or of both towers."""
    vision = config.vision_config if config.model_type in TWO_TOWERS else config
    kind = TWO_TOWERS.get(config.model_type, config.model_type)
    if kind not in FAMILIES:
        known = ", ".join([*FAMILIES, *TWO_TOWERS])
        raise ValueError(
            f"{source} is a {config.model_type}, which is no encoder known here; there is {known}"
        )
    keys = AutoConfig.for_model(kind).to_dict().keys() - ABOUT_FILES
    return {"model_type": kind} | {key: value for key, value in vision.to_dict().items() if key in keys}


def read_encoder(
    source: str, weights: bool = True, revision: str = "main", pickled: bool = False, **settings: Any
) -> PretrainedEncoder:
    """A published encoder of a local folder or a name and revision on the hub, with the settings of `PretrainedEncoder`.

    Without `weights` it is made on the meta device from its config; `pickled` allows pickles, read with weights_only.

    Raises:
        FileNotFoundError: there is no such folder or name, or files are missing.
        ValueError: it is no encoder known here, or tensors are missing.
    """
    config = read_config(source, revision)
    model_config = vision_config(config, source)
    known = inspect.signature(PretrainedEncoder.__init__).parameters.keys() - {"self", "model"}
    check_keys(settings, known, "the encoder")
    with torch.device("meta"):
        encoder = PretrainedEncoder(model_config, **settings)
    if not weights:
        return encoder
    check_files(source, revision, pickled)
    model, found = read_published(
        FAMILIES[model_config["model_type"]].from_pretrained,
        source,
        revision,
        config=encoder.model.config,
        output_loading_info=True,
        use_safetensors=None if pickled else True,
        dtype=torch.float32,
    )
    if names := sorted(map(str, found["missing_keys"])):
        raise ValueError(f"{source} lacks {len(names)} tensors: {list_names(names)}")
    encoder.model = _drop_unread_norm(model, settings.get("drop_layers", 0))
    check_finite_module(encoder, source)
    return encoder


def _drop_unread_norm(model: PreTrainedModel, drop_layers: int) -> PreTrainedModel:
    """The model without the norm of CLIP's pooled token, which nothing reads, or of a last layer that is left out."""
    for name in ("post_layernorm", "layernorm"):
        if hasattr(model, name) and (drop_layers or isinstance(model, CLIPVisionModel)):
            setattr(model, name, nn.Identity())
    return model
