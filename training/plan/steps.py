"""One micro-batch of each kind of stage, by the modules' own losses; only what hangs on the data's values is left out."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor

from lightning_modules.batch import ImageBatch, coded
from lightning_modules.detokenizer import DetokenizerModule
from lightning_modules.encoder import EncoderModule
from lightning_modules.language import LanguageModule
from lightning_modules.pixel_tokenizer import PixelTokenizerModule
from lightning_modules.tokenizer import TokenizerModule
from models.detokenizer.diffusion import to_pixels
from models.language.chunked_loss import summed_cross_entropy
from models.precision import frozen_features
from models.sequence import PackedBatch
from models.tokenizer.augmentation import augment_view
from training.plan.samples import Load

CAPTION = 48  # tokens of a detailed caption, in the encoder's stage (assumed)


KNOWN = (LanguageModule, TokenizerModule, EncoderModule, DetokenizerModule)


class Phase(NamedTuple):
    """A share of a run's steps, and the loss of a micro-batch in it."""

    share: float
    loss: Callable[[Load], Tensor]


class Images(NamedTuple):
    """An `ImageBatch`."""

    images: Tensor
    captions: Tensor
    code_images: Tensor | None = None


def check_known(module: LightningModule) -> None:
    """Makes sure that the steps of a module are known here.

    Raises:
        ValueError: they are not.
    """
    if not isinstance(module, KNOWN):
        names = ", ".join(kind.__name__ for kind in KNOWN)
        raise ValueError(f"a {type(module).__name__} is not planned; there is {names}")


def phases_of(module: LightningModule, image_size: int, steps: int) -> list[Phase]:
    """What the steps of a run do.

    Args:
        module: configured.
        image_size: of the data.
        steps: of the run.
    """

    def images(load: Load) -> ImageBatch:
        code_input = getattr(module, "code_input", None)
        apart = code_input is not None and code_input.size != image_size
        return Images(
            _images(load.rows, image_size),
            torch.zeros(load.rows, CAPTION, dtype=torch.long),
            _images(load.rows, code_input.size) if apart else None,
        )

    if isinstance(module, LanguageModule):
        return [Phase(1.0, lambda load: _language(module, load, image_size))]
    if isinstance(module, PixelTokenizerModule):
        return [Phase(1.0, lambda load: _pixel_tokenizer(module, images(load)))]
    if isinstance(module, TokenizerModule):
        return [Phase(1.0, lambda load: _tokenizer(module, images(load)))]
    if isinstance(module, EncoderModule):
        return [Phase(1.0, lambda load: _encoder(module, images(load)))]
    return _detokenizer(module, images, steps)


def _images(count: int, size: int) -> Tensor:
    return torch.zeros(count, 3, size, size, dtype=torch.uint8)


def _language(module: LanguageModule, load: Load, image_size: int) -> Tensor:
    model = module.model
    language = model.language
    with torch.no_grad():
        features = None
        if load.encoded:
            features = frozen_features(model.encoder, _images(load.encoded, model.encoder.image_size))
        if load.drawn:
            model.tokenizer.encode(features[: load.drawn])
    if not load.seen:
        width = language.adapter[0].in_features
        features = torch.zeros(0, language.see_tokens, width)
    elif model.understanding_encoder is not None:
        features = model.see(_images(load.seen, image_size))
    else:
        features = features[:1].expand(load.seen, -1, -1)
    batch, language.backend = _batch(load), "mask"  # of whole rows: who looks at whom hangs on the documents
    hidden = language.hidden(batch, batch.ids, features).flatten(0, 1)  # (B L, D)
    total = hidden.new_zeros((), dtype=torch.float)
    for learned in (load.words, load.codes):
        at = torch.zeros(learned, dtype=torch.long)
        heads = (language.text_head, language.vision_head)
        total = total + summed_cross_entropy(hidden[at], heads, at)[0]
    return total


def _batch(load: Load) -> PackedBatch:
    zeros = torch.zeros(load.rows, load.length, dtype=torch.long)
    mask, none = zeros.bool(), torch.zeros(0, dtype=torch.long)
    names = ("ids", "documents", "positions", "branches", "see_blocks", "images")
    masks = dict.fromkeys(("learn", "see_mask", "draw_mask"), mask)
    rest = dict.fromkeys(("see_images", "draw_images", "see_features", "code_images"), none)
    return PackedBatch(**dict.fromkeys(names, zeros), **masks, **rest)


def _tokenizer(module: TokenizerModule, batch: ImageBatch) -> Tensor:
    module.tokenizer.eval()  # which moves the codebook by what codes come
    features = frozen_features(module.encoder, batch.images)
    total = module.tokenizer(features).total
    if module.view_weight:
        others = frozen_features(module.encoder, augment_view(batch.images))
        total = total + module.tokenizer.view_loss(features, others)
    return total


def _pixel_tokenizer(module: PixelTokenizerModule, batch: ImageBatch) -> Tensor:
    module.tokenizer.eval()
    pixel, quantized = module._losses(batch)
    return pixel + quantized.loss


def _encoder(module: EncoderModule, batch: ImageBatch) -> Tensor:
    logits = module.captioner(module.encoder(batch.images), batch.captions)
    return F.cross_entropy(logits.flatten(0, 1), batch.captions.flatten())


def _detokenizer(module: DetokenizerModule, images: Callable[[Load], ImageBatch], steps: int) -> list[Phase]:
    def loss(load: Load, stem: bool) -> Tensor:
        batch = images(load)
        features, pixels = module._features(coded(batch)), to_pixels(batch.images)
        return (module.detokenizer.stem if stem else module.detokenizer).loss(features, pixels)

    share = min(1.0, module.stem_steps / steps)
    found = [Phase(share, lambda load: loss(load, True)), Phase(1 - share, lambda load: loss(load, False))]
    return [phase for phase in found if phase.share]
