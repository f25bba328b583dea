"""Stable Diffusion as the detokenizer: a VAE's latents, denoised by a UNet that sees reconstructed features for text.

ILLUME section 3.1 and figure 3. Versions 1.5, 2.1 and XL are one class: their configs differ. How features reach the UNet
is in `condition.py`, and how a published folder is read in `diffusers_folder.py`.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    UNet2DConditionModel,
)
from diffusers.schedulers import KarrasDiffusionSchedulers
from torch import Tensor, nn

from models.bounds import bounded_by, read_shapes
from models.component import Component
from models.component_config import build, check_keys
from models.detokenizer.checks import check_drawing, check_latents, check_numbers, check_sizes, pooled_width
from models.detokenizer.condition import Concatenation, Condition, CrossAttention
from models.detokenizer.diffusers_folder import (
    CONFIGS,
    find_folder,
    read_config,
    read_weights,
    weight_files,
    weight_patterns,
)
from models.detokenizer.diffusion import TIMESTEPS, seeded_noise, to_uint8
from models.detokenizer.latents import from_latents, to_latents
from models.published import check_download
from models.weights import set_tensors

IMAGE_SIZE = 512  # 32 times the grid's 16
MAX_PIXELS = 16 * 512**2  # of images that the UNet makes at once: 16 of the usual size
WEIGHTED = ("unet", "vae")  # subfolders of a diffusers folder whose weights are read
ConditionKind = Literal["cross_attention", "concat"]
SOLVERS = {"dpm": DPMSolverMultistepScheduler, "euler": EulerDiscreteScheduler}
# The keys of a scheduler config that define the noise of training and the timesteps of a solver.
SCHEDULE = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type"),
    *("timestep_spacing", "steps_offset", "rescale_betas_zero_snr"),
)
SCHEDULERS = {kind.name for kind in KarrasDiffusionSchedulers} - {"EDMEulerScheduler"}  # of such noise
PREDICTIONS = ("epsilon", "v_prediction", "sample")


class StableDiffusionDetokenizer(Component):
    """Reconstructed features (B, N, D) to images, in the latent space of a frozen VAE."""

    stem = None  # there is no coarse image: what the features settle is left to diffusion as well

    def __init__(
        self,
        unet: dict[str, Any],  # as its config.json has them
        vae: dict[str, Any],
        scheduler: dict[str, Any],  # the keys of SCHEDULE; for the rest each solver's own defaults
        image_size: int = IMAGE_SIZE,  # 32 times the grid's in the paper
        feature_width: int = 1280,
        grid: int = 16,  # side of the feature grid
        condition: ConditionKind = "concat",  # as in ILLUME+; cross_attention as in LaVIT
        condition_width: int = 64,  # channels of concat: those of ILLUME+'s two codes; assumed
        drop: float = 0.1,  # share of conditions that training masks (ILLUME+ masks as many; assumed)
        guidance: float = 2.0,  # away from the null condition; 1 is none (ILLUME+'s, assumed)
        steps: int = 50,  # of sampling, by default (ILLUME+'s, assumed)
        solver: Literal["dpm", "euler"] = "dpm",  # DPM-Solver++ of second order
        vae_batch: int = 8,  # images at a time: at 512 pixels the VAE needs more memory than the UNet
    ) -> None:
        super().__init__()
        self.image_size, self.feature_width, self.grid = image_size, feature_width, grid
        self.drop, self.guidance, self.steps, self.vae_batch = drop, guidance, steps, vae_batch
        self.condition_kind, self.condition_width = condition, condition_width
        self.scheduler, self.solver = scheduler, solver
        self._check_choices()
        check_numbers(UNet2DConditionModel, unet, "the UNet")
        check_numbers(AutoencoderKL, vae, "the VAE")
        check_drawing(image_size, grid, steps, scheduler.get("num_train_timesteps", TIMESTEPS))
        self.vae = AutoencoderKL(**vae).requires_grad_(False)
        self.channels = self.vae.config.latent_channels
        check_latents(unet, self.channels)
        wider = self.channels + (condition_width if condition == "concat" else 0)
        self.unet = UNet2DConditionModel(**unet | {"in_channels": wider})
        nn.init.zeros_(self.unet.conv_in.weight[:, self.channels :])  # at first the condition has no effect
        self.side = image_size // 2 ** (len(self.vae.config.block_out_channels) - 1)
        check_sizes(self.unet.config, self.vae.config, image_size, grid if condition == "concat" else None)
        self.condition = self._new_condition()
        with torch.device("cpu"):  # tables, no weights: also where modules are being built on the meta device
            self.schedule = DDPMScheduler(**scheduler)

    @classmethod
    def from_diffusers(
        cls, name: str, pickled: bool = False, variant: str = "", weights: bool = True, **settings: Any
    ) -> "StableDiffusionDetokenizer":
        """Starts from the UNet, VAE and scheduler of a diffusers folder, or of a name OWNER/MODEL on the hub.

        Settings are those of the class, laid over the folder's; without `weights` it is made on the meta device.

        Raises:
            FileNotFoundError: folder, component or weights are not there.
            ValueError: they do not fit each other or the settings, or are pickled.
        """
        where = f"a detokenizer from {name}"
        check_keys(settings, inspect.signature(cls.__init__).parameters, where)
        folder = find_folder(name, CONFIGS)
        config = settings | _read_configs(folder, settings)
        with torch.device("meta"), _bounded(folder, variant, pickled):  # sizes that do not fit fail first
            detokenizer = build(cls, config, where)
        if not weights:
            return detokenizer
        patterns = [pattern for own in WEIGHTED for pattern in weight_patterns(own, variant, pickled)]
        check_download(name, "main", patterns)
        folder = find_folder(name, patterns)
        more = detokenizer.unet.config.in_channels - detokenizer.channels
        for own in WEIGHTED:
            tensors = read_weights(weight_files(folder, own, variant, pickled))
            tensors = _pad_first_convolution(tensors, more) if own == "unet" else tensors
            set_tensors(getattr(detokenizer, own), tensors, f"{folder}/{own}")
        detokenizer.condition = detokenizer._new_condition()
        return detokenizer

    @classmethod
    def empty(cls, config: Mapping[str, Any], where: str) -> "StableDiffusionDetokenizer":
        """One with uninitialized weights, for a checkpoint to fill: random ones take minutes at SDXL's size."""
        with torch.device("meta"):
            detokenizer = build(cls, config, where)
        return detokenizer.to_empty(device=torch.get_default_device())

    def _new_condition(self) -> CrossAttention | Concatenation:
        unet = self.unet.config
        width = unet.cross_attention_dim
        pooled = pooled_width(unet)
        if self.condition_kind == "cross_attention":
            return CrossAttention(self.feature_width, self.grid**2, width, pooled)
        return Concatenation(self.feature_width, self.grid, self.side, self.condition_width, width, pooled)

    def _check_choices(self) -> None:
        for name, value, known in (
            ("condition", self.condition_kind, get_args(ConditionKind)),
            ("solver", self.solver, tuple(SOLVERS)),
            ("prediction_type", self.scheduler.get("prediction_type", "epsilon"), PREDICTIONS),
        ):
            if value not in known:
                raise ValueError(f"the detokenizer's {name} is one of {', '.join(known)}, not {value!r}")
        check_keys(self.scheduler, SCHEDULE, "the detokenizer's scheduler")
        if not 0 <= self.drop < 1 or not 0 <= self.guidance <= 100:
            raise ValueError(
                f"the detokenizer's drop is in [0, 1) and its guidance in [0, 100], not {self.drop} and {self.guidance}"
            )
        if min(self.steps, self.vae_batch, self.condition_width) < 1:
            raise ValueError("the detokenizer's steps, vae_batch and condition_width are at least 1")

    def train_attention_only(self) -> None:
        """Freezes all of the UNet but its attention layers and those that the condition enters by."""
        enters = r"^conv_in\." if self.condition_kind == "concat" else r"^add_embedding\."
        for name, parameter in self.unet.named_parameters():
            parameter.requires_grad_(bool(re.search(rf"\.attn\d\.|{enters}", name)))

    def _conditions(self, features: Tensor) -> Condition:
        if features.shape[1:] != (self.grid**2, self.feature_width):
            raise ValueError(
                f"there are {features.shape[1]} features of width {features.shape[2]}, the detokenizer takes "
                f"{self.grid} x {self.grid} of width {self.feature_width}"
            )
        return self.condition(features.to(self.unet.dtype))

    def _predict(self, noisy: Tensor, timestep: Tensor, condition: Condition) -> Tensor:
        """The UNet's prediction for noisy latents (B, C, h, w), in single precision."""
        extra = condition.concatenated
        inputs = noisy if extra is None else torch.cat([noisy, extra], 1)
        added = None
        if condition.pooled is not None:  # SDXL: an image of this size that nothing was cut from
            size = float(self.image_size)
            sizes = noisy.new_tensor([[size, size, 0.0, 0.0, size, size]])
            added = {"text_embeds": condition.pooled, "time_ids": sizes.expand(len(noisy), -1)}
        inputs = inputs.to(self.unet.dtype)
        return self.unet(inputs, timestep, condition.tokens, added_cond_kwargs=added).sample.float()

    def loss(self, features: Tensor, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Mean squared error of the prediction on images (B, 3, H, W) in -1 to 1, each at a timestep of its own."""
        if pixels.shape[-2:] != (self.image_size, self.image_size):
            raise ValueError(
                f"images are {tuple(pixels.shape[-2:])}, the detokenizer makes {self.image_size} x {self.image_size}: "
                f"set data.init_args.image_size to {self.image_size}"
            )
        latents = to_latents(self.vae, pixels, self.vae_batch)
        random: dict[str, Any] = {"generator": generator, "device": latents.device}
        noise = torch.randn(latents.shape, dtype=latents.dtype, **random)
        steps = torch.randint(self.schedule.config.num_train_timesteps, (len(latents),), **random)
        condition = self._conditions(features)
        if self.training and self.drop:
            condition = condition.mask(torch.rand(len(latents), **random) >= self.drop)
        prediction = self._predict(self.schedule.add_noise(latents, noise, steps), steps, condition)
        kind = self.schedule.config.prediction_type
        if kind == "v_prediction":
            return F.mse_loss(prediction, self.schedule.get_velocity(latents, noise, steps))
        return F.mse_loss(prediction, noise if kind == "epsilon" else latents)

    @torch.no_grad()
    def decode(self, features: Tensor, seeds: list[int], steps: int | None = None) -> Tensor:
        """Features (B, N, D) -> images (B, 3, H, W) uint8. A seed fixes its image whatever the batch around it."""
        size = max(1, MAX_PIXELS // self.image_size**2)
        batches = (slice(first, first + size) for first in range(0, len(seeds), size))
        return torch.cat([self._decode_batch(features[own], seeds[own], steps) for own in batches])

    def _decode_batch(self, features: Tensor, seeds: list[int], steps: int | None) -> Tensor:
        with torch.device("cpu"):
            solver = SOLVERS[self.solver](**self.scheduler)
        solver.set_timesteps(steps or self.steps, device=features.device)
        x = seeded_noise(seeds, self.channels, self.side, self.side).to(features.device)
        x = x * solver.init_noise_sigma
        condition, guided = self._conditions(features), self.guidance != 1
        if guided:
            condition = condition.prepend_null()
        for t in solver.timesteps:
            inputs = solver.scale_model_input(x, t)
            prediction = self._predict(torch.cat([inputs, inputs]) if guided else inputs, t, condition)
            if guided:
                null, conditional = prediction.chunk(2)
                prediction = null + self.guidance * (conditional - null)
            x = solver.step(prediction, t, x).prev_sample
        return to_uint8(from_latents(self.vae, x, self.vae_batch))


def _bounded(folder: Path, variant: str, pickled: bool) -> AbstractContextManager[None]:
    """Builds no more than the weights of a folder hold, as far as they are here and are no pickles."""
    try:
        files = [file for own in WEIGHTED for file in weight_files(folder, own, variant, pickled)]
    except FileNotFoundError:  # they are on the hub; or missing, which is an error where they are read
        return nullcontext()
    if any(file.suffix != ".safetensors" for file in files):
        return nullcontext()
    shapes = {f"{file}: {name}": shape for file in files for name, shape in read_shapes([file]).items()}
    return bounded_by(shapes, f"{folder}/unet/config.json or {folder}/vae/config.json")


def _read_configs(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes in a diffusers folder, with the settings laid over them."""
    schedule = read_config(folder, "scheduler", sorted(SCHEDULERS))
    configs = {
        "unet": read_config(folder, "unet", ["UNet2DConditionModel"]),
        "vae": read_config(folder, "vae", ["AutoencoderKL"]),
        "scheduler": {name: schedule[name] for name in SCHEDULE if schedule.get(name) is not None},
    }
    return {name: own | settings.get(name, {}) for name, own in configs.items()}


def _pad_first_convolution(
    tensors: Iterable[tuple[str, Tensor]], channels: int
) -> Iterator[tuple[str, Tensor]]:
    """A UNet's tensors, its first convolution with so many more input channels of zeros."""
    for name, tensor in tensors:
        yield name, F.pad(tensor, (0, 0, 0, 0, 0, channels)) if name == "conv_in.weight" else tensor
