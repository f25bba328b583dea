"""The components joined into one model of documents: prompts in, text and images out.

From a prompt to pixels, in the order of the calls: `encode_prompts` (tokens, codes and features of each image),
`draw_codes` (prefill and decoding loop, `models/language/drawing.py`), `decode` (codes to features to pixels). The tasks
that documents stand for are methods of `models.unified.Illume`.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from models import image_input
from models.compatibility import check_components
from models.component import hash_components
from models.detokenizer.diffusion import DiffusionDetokenizer
from models.detokenizer.pixel import PixelDecoder
from models.detokenizer.stable_diffusion import StableDiffusionDetokenizer
from models.document import Document
from models.generation import PLAYGROUND, Generation, SamplingConfig
from models.image_input import ImageInput
from models.language.drawing import draw_codes
from models.language.text_generation import generate_text
from models.language.text_tokenizer import TextEncoder
from models.language.unified_lm import UnifiedLM
from models.precision import frozen_features
from models.prompts import Prompts
from models.sequence import DRAW, PackedBatch, Segment, Sequencer
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.pixel import PixelTokenizer
from models.tokenizer.pretrained_encoder import PretrainedEncoder
from models.tokenizer.semantic import SemanticTokenizer

Encoder = VisionEncoder | PretrainedEncoder
Tokenizer = SemanticTokenizer | PixelTokenizer
Detokenizer = DiffusionDetokenizer | StableDiffusionDetokenizer | PixelDecoder


class DocumentModel(nn.Module):
    """The components, None where a stage has not made one yet; ValueError where two do not fit each other."""

    # Any: which of them are there is checked by `require`, not by types.
    encoder: Any
    tokenizer: Any
    detokenizer: Any
    language: Any
    text_tokenizer: Any
    understanding_encoder: Any

    def __init__(
        self,
        encoder: Encoder | None = None,  # images (B, 3, H, W) uint8 to features (B, N, D)
        tokenizer: Tokenizer | None = None,  # features (or pixels) to codes, codes to features
        detokenizer: Detokenizer | None = None,  # features to images
        language: UnifiedLM | None = None,
        text_tokenizer: PreTrainedTokenizerBase | None = None,
        understanding_encoder: Encoder | None = None,  # of seen images, once stage 3 has tuned it
        generation: Generation | None = None,  # default settings; None: the playground's
        prompts: Prompts | None = None,  # of its tasks; None: the playground's
    ) -> None:
        super().__init__()
        check_components(encoder, tokenizer, detokenizer, language, text_tokenizer, understanding_encoder)
        self.encoder, self.tokenizer, self.detokenizer = encoder, tokenizer, detokenizer
        self.language, self.text_tokenizer = language, text_tokenizer
        self.understanding_encoder = understanding_encoder
        self.generation, self.prompts = generation or PLAYGROUND, prompts or Prompts()

    def require(self, *components: str, does: str, bring: str = "load a model folder that holds it") -> None:
        """Raises ValueError where a component is missing that something needs (`does`), with what to do (`bring`)."""
        if missing := [name for name in components if getattr(self, name) is None]:
            raise ValueError(f"this model has no {' and no '.join(missing)}, which {does} takes: {bring}")

    @property
    def image_input(self) -> ImageInput:
        """How an image is prepared to be seen: the one way of every command and callback."""
        slicing = None if self.language is None else self.language.slicing
        return ImageInput(self._seeing_encoder.image_size, None if slicing is None else slicing.max_side)

    @property
    def _seeing_encoder(self) -> Encoder:
        if self.understanding_encoder is None:
            self.require("encoder", does="seeing images")
        return self.understanding_encoder or self.encoder

    @property
    def code_input(self) -> ImageInput:
        """How an image is prepared for the tokenizer: straight to the size that it reads, everywhere."""
        own = self.tokenizer is not None and self.tokenizer.reads == "pixels"
        if not own:
            self.require("encoder", does="making codes of images")
        return ImageInput((self.tokenizer if own else self).encoder.image_size)

    @property
    def device(self) -> torch.device:
        """Of the parameters."""
        return next(self.parameters()).device

    @cached_property
    def sequencer(self) -> Sequencer:
        """Documents to segments, for this model's vocabulary and image sizes."""
        self.require("language", "text_tokenizer", does="reading and writing")
        return Sequencer(
            self.language.vocabulary,
            TextEncoder(self.text_tokenizer),
            self.language.see_tokens,
            self.language.draw_tokens,
            self.language.turns,
            self.language.slicing,
            self.prompts,
        )

    def fingerprint(self, *components: str) -> str:
        """Hash of what makes codes (encoder and tokenizer) or features (encoder), to recognize stale caches."""
        return hash_components([getattr(self, name) for name in components], f"images {image_input.VERSION}")

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Features of the tokenizer's encoder: (B, 3, H, W) uint8 -> (B, N, D)."""
        self.require("encoder", does="seeing images")
        images = ImageInput(self.encoder.image_size).resize(images)
        return frozen_features(self.encoder, images.to(self.device))

    def see(self, images: Tensor) -> Tensor:
        """Features for the language model to see: (B, 3, H, W) uint8 -> (B, N, D), with gradients in training."""
        encoder, images = self._seeing_encoder, images.to(self.device)
        if torch.is_grad_enabled() and any(p.requires_grad for p in encoder.parameters()):
            return encoder(images)  # in the trainer's precision
        return frozen_features(encoder, images)

    def encode_images(self, batch: PackedBatch) -> tuple[Tensor, Tensor]:
        """Features (S, N, D) of a batch's See blocks, codes (n, N) of its Draw blocks; each image is encoded once."""
        seen_here, drawn_here = batch.see_images >= 0, batch.draw_images >= 0
        looked, drawn = batch.see_images[seen_here], batch.draw_images[drawn_here]
        shared = self.understanding_encoder is None and len(looked) > 0 and not len(batch.code_images)
        with torch.no_grad():
            codes = batch.ids[batch.draw_mask].view(-1, self.language.draw_tokens)
            codes = codes - self.language.vocabulary.first_code  # the precomputed ones
            needed, rows = (torch.cat([drawn, looked]) if shared else drawn).unique(return_inverse=True)
            images, drawn_rows = batch.drawn[needed], rows[: len(drawn)]
            read = shared or (self.tokenizer is not None and self.tokenizer.reads == "features")
            # not `self.features`, which would resize images of another size, from a smaller copy
            features = frozen_features(self.encoder, images) if read and len(needed) else None
            if len(drawn):
                own = None if features is None else features[drawn_rows]
                codes[drawn_here] = self._codes(images[drawn_rows], own)
        if shared and features is not None:
            seen = features[rows[len(drawn) :]]
        elif len(looked):
            distinct, rows = looked.unique(return_inverse=True)
            seen = self.see(batch.images[distinct])[rows]
        else:
            seen = self._no_features()
        if len(batch.see_features):  # the precomputed ones
            every = seen.new_empty(len(batch.see_images), *seen.shape[1:])
            every[seen_here], every[~seen_here] = seen, batch.see_features.to(seen.dtype)
            seen = every
        return seen, codes

    def _no_features(self) -> Tensor:
        width = self.language.adapter[0].in_features
        return torch.zeros(0, self.language.see_tokens, width, device=self.device)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Encodes images to discrete codes: (B, 3, H, W) uint8 -> (B, N); those of another size are cropped first."""
        return self._codes(self.code_input.resize(images).to(self.device))

    def _codes(self, images: Tensor, features: Tensor | None = None) -> Tensor:
        """Codes (B, N) of images, by their features where these are there already."""
        self.require("tokenizer", does="making codes of images")
        if self.tokenizer.reads == "pixels":
            return self.tokenizer.encode(images)
        return self.tokenizer.encode(self.features(images) if features is None else features)

    @torch.no_grad()
    def decode(self, codes: Tensor, seeds: list[int], steps: int | None = None) -> Tensor:
        """Codes (B, N) -> images (B, 3, H, W) uint8; seeds fix what the codes leave open."""
        self.require("tokenizer", "detokenizer", does="making images of codes")
        return self.detokenizer.decode(self.tokenizer.decode(codes), seeds, steps)

    def draw_documents(
        self,
        documents: Sequence[Document],
        nulls: Sequence[Document],
        seeds: list[int],
        sampling: SamplingConfig | Sequence[SamplingConfig],
    ) -> Tensor:
        """Draws the open Draw that each document ends in, with as many nulls for guidance: (B, 3, H, W) uint8.

        Raises:
            ValueError: a component is missing, a setting is out of range, or a document is longer than the context.
        """
        self.require("tokenizer", "detokenizer", "language", "text_tokenizer", does="drawing")
        prompts = self.encode_prompts([*documents, *nulls])
        conditional, unconditional = prompts[: len(documents)], prompts[len(documents) :]
        codes = draw_codes(self.language, conditional, unconditional, seeds, sampling)
        return self.decode(codes, seeds)

    def understand(self, documents: Sequence[Document], limit: int | None = None) -> list[str]:
        """Answers each document (an image, a question, ...) in text of at most `limit` tokens."""
        limit = limit or self.generation.max_new_tokens.describe
        prompts = self.encode_prompts(documents, ask=True)
        written = generate_text(self.language, prompts, limit)
        return [self.decode_text(row) for row in written]

    def decode_text(self, ids: list[int]) -> str:
        """Ids to text, without what ends a turn and without special tokens and codes."""
        stops, size = self.language.stop_ids, self.language.vocabulary.text_size
        return self.text_tokenizer.decode([i for i in ids if i < size and i not in stops]).strip()

    def encode_prompts(self, documents: Sequence[Document], ask: bool = False) -> list[Segment]:
        """Documents as tokens, with codes and features of their images; `ask` opens the assistant's turn."""
        return self.encode_seen([self.segment(document, ask) for document in documents])

    def encode_seen(self, segments: Sequence[Segment]) -> list[Segment]:
        """The segments with the features (N, D) of all that is seen in them; each distinct image is encoded once."""
        images = {id(im): im for own in segments for im in own.see_images if im is not None}
        if not images:
            return list(segments)
        with torch.no_grad():
            seen = self.see(torch.stack([self.image_input.resize(im) for im in images.values()]))
        features = dict(zip(images, seen, strict=True))
        encoded = []
        for own in segments:
            known = iter(own.features)
            found = [next(known).to(self.device) if im is None else features[id(im)] for im in own.see_images]
            encoded.append(replace(own, see_images=[None] * len(found), features=found))
        return encoded

    def segment(self, document: Document, ask: bool = False) -> Segment:
        """A document as tokens, with the codes of its drawn images; ValueError where no image fits after it."""
        segment = self._with_codes(self.sequencer.segment(document, ask=ask))
        room = self.language.context - self.language.draw_tokens - 2
        if len(segment) > room:
            raise ValueError(
                f"the prompt is {len(segment)} tokens long, this model's context has room for {room}: shorten it"
            )
        return segment

    def _with_codes(self, segment: Segment) -> Segment:
        """The segment with the codes of its drawn images in place of placeholders."""
        drawn = [image for image in segment.draw_images if image is not None]
        if not drawn:
            return segment
        squares = torch.stack([self.code_input.resize(image) for image in drawn])
        codes = iter(self.encode(squares).flatten().tolist())
        first, pairs = self.language.vocabulary.first_code, zip(segment.ids, segment.kinds, strict=True)
        return replace(segment, ids=[first + next(codes) if kind == DRAW else i for i, kind in pairs])
