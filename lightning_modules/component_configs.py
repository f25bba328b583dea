"""Settings of components in YAML, typed: jsonargparse checks them and shows them in --help, and builds no network.

None leaves a setting to the component's own class, or to the components around it.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal

from models.attention import Attend, Backend
from models.precision import ComputeDtype
from models.tokenizer.quantizer import QuantizerKind


@dataclass(frozen=True)
class ComponentConfig:
    """Settings of one component."""

    @property
    def given(self) -> dict[str, Any]:
        """The settings that are not None, by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class PublishedConfig(ComponentConfig):
    """A component that may start from published weights.

    Args:
        path: a folder, or a name on the Hugging Face hub, with published weights; None: from scratch.
        pickled: reads weights that are only there as pickles, with `weights_only=True`; they are refused otherwise.
    """

    path: str | None = None
    pickled: bool | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that are not None, but for `path`."""
        return {name: value for name, value in self.given.items() if name != "path"}


@dataclass(frozen=True)
class LanguageConfig(PublishedConfig):
    """A language model from scratch (`models/language/unified_lm.py`) or published (`models/language/pretrained.py`).

    Args:
        trunk: from scratch: a Hugging Face config, `model_type` among it.
        text_size: rows of the text vocabulary; None: as the text tokenizer needs.
        codes: size of the visual codebook.
        feature_width: width of the features that enter.
        see_tokens: features an image enters as.
        draw_tokens: codes an image leaves as.
        attend: whether the features of one image attend to each other.
        backend: of attention.
        position_embedding: adds a learned row for the position in the image.
        turns: published: how turns open and close: by the chat template, as Vicuna v1.1's, or by tokens of our own.
        today: published: the date given to a chat template that asks for it.
        dtype: published: of the weights in memory.
        revision: published: branch, tag or commit on the hub.
    """

    trunk: dict[str, Any] | None = None  # its keys are the library's
    text_size: int | None = None
    codes: int | None = None
    feature_width: int | None = None
    see_tokens: int | None = None
    draw_tokens: int | None = None
    attend: Attend | None = None
    backend: Backend | None = None
    position_embedding: bool | None = None
    turns: Literal["template", "vicuna", "own"] | None = None
    today: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    revision: str | None = None


@dataclass(frozen=True)
class TextTokenizerConfig(ComponentConfig):
    """A text tokenizer trained from scratch.

    Args:
        shards: of documents or pairs, whose texts are read.
        size: pieces, bytes among them.
        more: other words that training will use, which would else be spelled by letters.
    """

    shards: str
    size: int
    more: str = ""


@dataclass(frozen=True)
class UnderstandingConfig(ComponentConfig):
    """Size and reduction at which the encoder sees, where they are others than the tokenizer's.

    Args:
        image_size: side of the images in pixels.
        reduce: side of the squares of features that are averaged into one.
    """

    image_size: int
    reduce: int = 1


@dataclass(frozen=True)
class LoRAConfig(ComponentConfig):
    """Low-rank additions to the trunk, by peft (its LoraConfig).

    Args:
        r: rank.
        lora_alpha: scale, divided by the rank.
        lora_dropout: of what goes through the additions.
        target_modules: names of the matrices, or "all-linear".
        use_rslora: divides the scale by the rank's square root.
    """

    r: int | None = None
    lora_alpha: int | None = None
    lora_dropout: float | None = None
    target_modules: list[str] | str | None = None
    use_rslora: bool | None = None


@dataclass(frozen=True)
class VisionEncoderConfig(ComponentConfig):
    """A vision encoder from scratch (`models/tokenizer/encoder.py`).

    Args:
        image_size: side of the images in pixels, a multiple of 8.
        width: channels of the features.
        layers: transformer blocks.
        heads: attention heads.
    """

    image_size: int | None = None
    width: int | None = None
    layers: int | None = None
    heads: int | None = None


@dataclass(frozen=True)
class PublishedEncoderConfig(PublishedConfig):
    """A published vision encoder (`models/tokenizer/pretrained_encoder.py`), or UNIT's (`models/tokenizer/unit.py`).

    Args:
        image_size: side of the images in pixels, a multiple of the patch.
        reduce: side of the squares of features that are averaged into one.
        drop_layers: last layers that are left out.
        final_norm: whether a norm with weights of its own follows the last layer.
        norm: brings features to zero mean and unit variance.
        mean: of the pixels, by channel.
        std: their deviation.
        compute_dtype: in which features are made where the encoder does not learn.
        heads: UNIT's attention heads, which no tensor holds.
        revision: branch, tag or commit on the hub.
    """

    image_size: int | None = None
    reduce: int | None = None
    drop_layers: int | None = None
    final_norm: bool | None = None
    norm: bool | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    compute_dtype: ComputeDtype | None = None
    heads: int | None = None
    revision: str | None = None


@dataclass(frozen=True)
class TokenizerConfig(ComponentConfig):
    """A tokenizer (`models/tokenizer/semantic.py`, `models/tokenizer/pixel.py`); its sizes in and out are the encoder's.

    Args:
        codes: size of the codebook.
        code_width: width of a code.
        decoder_layers: attention blocks of the decoder.
        heads: attention heads.
        quantizer: how the codebook learns.
    """

    codes: int | None = None
    code_width: int | None = None
    decoder_layers: int | None = None
    heads: int | None = None
    quantizer: QuantizerKind | None = None


@dataclass(frozen=True)
class DetokenizerConfig(PublishedConfig):
    """A detokenizer from scratch (`models/detokenizer/diffusion.py`), or published (`stable_diffusion.py` beside it).

    Args:
        image_size: side of the images in pixels.
        feature_width: width of the features; None: the encoder's.
        grid: side of the feature grid; None: the encoder's.
        steps: sampling steps by default.
        condition_width: channels of the condition beside the latents.
        unet: sizes of the UNet that differ.
        patch: from scratch: pixels folded into one latent.
        stem: from scratch: whether a deterministic stem feeds a coarse image.
        residual_scale: from scratch: what the residual is divided by.
        condition: published: how the features enter the UNet.
        drop: published: share of the conditions that training replaces by zeros.
        guidance: published: pull away from what those zeros give.
        solver: published: of the diffusion.
        vae_batch: published: images that the VAE takes at a time.
        vae: published: sizes of the VAE that differ.
        scheduler: published: settings of the noise schedule that differ.
        variant: published: of the weights, such as fp16.
    """

    image_size: int | None = None
    feature_width: int | None = None
    grid: int | None = None
    steps: int | None = None
    condition_width: int | None = None
    unet: dict[str, Any] | None = None  # its keys are the library's, as those of vae and scheduler
    patch: int | None = None
    stem: bool | None = None
    residual_scale: float | None = None
    condition: Literal["cross_attention", "concat"] | None = None
    drop: float | None = None
    guidance: float | None = None
    solver: Literal["dpm", "euler"] | None = None
    vae_batch: int | None = None
    vae: dict[str, Any] | None = None
    scheduler: dict[str, Any] | None = None
    variant: str | None = None
