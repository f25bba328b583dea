"""Illume: encoder, tokenizer, detokenizer and language model behind understand, draw, edit and chat."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from models import image_input
from models.compatibility import check_parts
from models.conversation import converse
from models.detokenizer.diffusion import DiffusionDetokenizer
from models.detokenizer.pixel import PixelDecoder
from models.detokenizer.stable_diffusion import StableDiffusionDetokenizer
from models.document import (
    Document,
    See,
    Text,
    assess_document,
    describe_document,
    draw_document,
    edit_document,
    redraw_document,
)
from models.generation import PLAYGROUND, Generation, SamplingConfig
from models.image_input import ImageInput
from models.language.decoding import Prefill, write_text
from models.language.drawing import draw_codes
from models.language.unified_lm import UnifiedLM
from models.model_folder import load_parts, parts_hash, save_parts
from models.precision import frozen_features
from models.prompts import Prompts
from models.sequence import DRAW, SEE, PackedBatch, Segment, Sequencer
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.pixel import PixelTokenizer
from models.tokenizer.semantic import SemanticTokenizer


@dataclass(frozen=True)
class Spelling:
    """Words to text ids; what spells a special token stays words. Goes to any worker process."""

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, text: str) -> list[int]:
        """The ids of a text."""
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


class Illume(nn.Module):
    """Sees and draws. Parts that a stage has not made yet are None; what needs one says so.

    Args:
        encoder: images (B, 3, H, W) uint8 to features (B, N, D).
        tokenizer: features to codes and back, or pixels to codes in figure 6's baseline.
        detokenizer: reconstructed features to images.
        language: the unified language model.
        text_tokenizer: words to ids.
        understanding_encoder: the encoder of seen images, once stage 3 has tuned it away from the tokenizer's.
        generation: how it draws, edits and writes where nobody says otherwise; None: as the playground's model.
        prompts: the words of its tasks; None: the playground's.
    """

    def __init__(
        self,
        encoder: VisionEncoder | None = None,
        tokenizer: SemanticTokenizer | PixelTokenizer | None = None,
        detokenizer: DiffusionDetokenizer | StableDiffusionDetokenizer | PixelDecoder | None = None,
        language: UnifiedLM | None = None,
        text_tokenizer: PreTrainedTokenizerBase | None = None,
        understanding_encoder: VisionEncoder | None = None,
        generation: Generation | None = None,
        prompts: Prompts | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.tokenizer, self.detokenizer = encoder, tokenizer, detokenizer
        self.language, self.text_tokenizer = language, text_tokenizer
        self.understanding_encoder = understanding_encoder
        self.generation, self.prompts = generation or PLAYGROUND, prompts or Prompts()
        check_parts(self)

    @classmethod
    def from_pretrained(
        cls, folder: str, only: Sequence[str] | None = None, as_stored: bool = False
    ) -> "Illume":
        """Loads a model folder, or only some of its parts.

        Args:
            folder: the model folder.
            only: names of parts.
            as_stored: leaves a language model that is stored in several types as it is, to be written or trained; it
                answers and draws in one, that of its trunk.

        Raises:
            FileNotFoundError: no such model folder.
            ValueError: its parts do not fit each other.
        """
        parts = load_parts(folder, only)
        if "language" in parts and not as_stored:
            language = parts["language"]
            language.to(next(p.dtype for p in language.trunk.parameters() if p.is_floating_point()))
        try:
            return cls(**parts).eval()
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from error

    def save_pretrained(self, folder: str) -> None:
        """Writes the parts that are there, as safetensors with JSON configs."""
        save_parts(self, folder)

    def require(self, *components: str, does: str, bring: str = "load a model folder that holds it") -> None:
        """Makes sure that components are there.

        Args:
            components: their names.
            does: what takes them, as "drawing".
            bring: what to do where one is missing.

        Raises:
            ValueError: one is missing.
        """
        if missing := [name for name in components if getattr(self, name) is None]:
            raise ValueError(f"this model has no {' and no '.join(missing)}, which {does} takes: {bring}")

    @property
    def image_input(self) -> ImageInput:
        """How pictures come to be seen; every command and callback that shows the model one takes this way."""
        if self.understanding_encoder is None:
            self.require("encoder", does="seeing images")
        slicing = None if self.language is None else self.language.slicing
        size = (self.understanding_encoder or self.encoder).image_size
        return ImageInput(size, None if slicing is None else slicing.max_side)

    @property
    def code_input(self) -> ImageInput:
        """How pictures come to the tokenizer, to become codes: straight to the size that it reads, everywhere."""
        own = self.tokenizer is not None and self.tokenizer.reads == "pixels"
        if not own:
            self.require("encoder", does="making codes of images")
        return ImageInput((self.tokenizer if own else self).encoder.image_size)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @cached_property
    def sequencer(self) -> Sequencer:
        """Documents to segments, for this model's vocabulary and image sizes."""
        self.require("language", "text_tokenizer", does="reading and writing")
        return Sequencer(
            self.language.vocabulary,
            Spelling(self.text_tokenizer),
            self.language.see_tokens,
            self.language.draw_tokens,
            self.language.turns,
            self.language.slicing,
            self.prompts,
        )

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Continuous features of the tokenizer's encoder: (B, 3, H, W) uint8 -> (B, N, D)."""
        self.require("encoder", does="seeing images")
        images = ImageInput(self.encoder.image_size).resized(images)
        return frozen_features(self.encoder, images.to(self.device))

    def see(self, images: Tensor) -> Tensor:
        """Features for the language model to see: (B, 3, H, W) uint8 -> (B, N, D); gradients pass where they can.

        An encoder that learns makes them as its trainer has chosen, another as codes' features are made.
        """
        if self.understanding_encoder is None:
            self.require("encoder", does="seeing images")
        encoder, images = self.understanding_encoder or self.encoder, images.to(self.device)
        if torch.is_grad_enabled() and any(p.requires_grad for p in encoder.parameters()):
            return encoder(images)
        return frozen_features(encoder, images)

    def inputs(self, batch: PackedBatch) -> tuple[Tensor, Tensor]:
        """Features (S, N, D) of a batch's See blocks and codes (n, N) of its Draw blocks, each image encoded once."""
        looked = batch.see_images[batch.see_images >= 0]
        one_size = not len(batch.code_images)
        shared = self.understanding_encoder is None and len(looked) > 0 and one_size
        with torch.no_grad():
            codes = batch.ids[batch.draw_mask].view(-1, self.language.draw_tokens)
            codes = codes - self.language.vocabulary.first_code  # those that were known before
            new = batch.draw_images >= 0
            used = torch.cat([batch.draw_images[new], looked]) if shared else batch.draw_images[new]
            needed, place = used.unique(return_inverse=True)
            images, drawn = batch.drawn[needed], place[: int(new.sum())]
            read = shared or (self.tokenizer is not None and self.tokenizer.reads == "features")
            # not `self.features`, which would bring images of another size to the encoder's, from a smaller copy
            features = frozen_features(self.encoder, images) if read and len(needed) else None
            if len(drawn):
                codes[new] = self._codes(images[drawn], None if features is None else features[drawn])
        if shared:
            return self._with_known(batch, features[place[len(drawn) :]]), codes
        if not len(looked):
            return self._with_known(batch, self._nothing_seen()), codes
        seen, place = looked.unique(return_inverse=True)
        return self._with_known(batch, self.see(batch.images[seen])[place]), codes

    def _with_known(self, batch: PackedBatch, features: Tensor) -> Tensor:
        """Features of all See blocks in order, from those that were made and those that were known before."""
        if not len(batch.see_features):
            return features
        every = features.new_empty(len(batch.see_images), *features.shape[1:])
        every[batch.see_images >= 0] = features
        every[batch.see_images < 0] = batch.see_features.to(features.dtype)
        return every

    def stamp(self, *parts: str) -> str:
        """Names what makes codes (encoder and tokenizer) or features (the encoder), to know what is stale.

        How images come to them is a part of it (`models.image_input.VERSION`).
        """
        return parts_hash([getattr(self, name) for name in parts], f"images {image_input.VERSION}")

    def _nothing_seen(self) -> Tensor:
        width = self.language.adapter[0].in_features
        return torch.zeros(0, self.language.see_tokens, width, device=self.device)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Discrete codes: (B, 3, H, W) uint8 -> (B, N); of images of another size, as `code_input` crops them."""
        return self._codes(self.code_input.resized(images).to(self.device))

    def _codes(self, images: Tensor, features: Tensor | None = None) -> Tensor:
        """Codes (B, N) from what the tokenizer reads; features that are there already are not made again."""
        self.require("tokenizer", does="making codes of images")
        if self.tokenizer.reads == "pixels":
            return self.tokenizer.encode(images)
        return self.tokenizer.encode(self.features(images) if features is None else features)

    @torch.no_grad()
    def decode(self, codes: Tensor, seeds: list[int], steps: int | None = None) -> Tensor:
        """Codes (B, N) -> images (B, 3, H, W) uint8; the seeds fix what the codes leave open."""
        self.require("tokenizer", "detokenizer", does="making images of codes")
        return self.detokenizer.decode(self.tokenizer.decode(codes), seeds, steps)

    def draw(
        self,
        prompts: Sequence[str],
        seeds: list[int],
        sampling: SamplingConfig | None = None,
    ) -> Tensor:
        """Text to images (B, 3, H, W) uint8, one for each prompt and seed.

        Sampling settings that are None are the model's own (`generation.draw`).
        """
        documents = [draw_document(prompt, prompts=self.prompts) for prompt in prompts]
        nulls = [draw_document(None, prompts=self.prompts)] * len(documents)
        return self.draw_documents(documents, nulls, seeds, self.generation.draw.override(sampling))

    def edit(
        self,
        images: Tensor,
        instructions: Sequence[str],
        seeds: list[int],
        sampling: SamplingConfig | None = None,
    ) -> Tensor:
        """Edits images (B, 3, H, W) by instructions; same shape out. Sampling as in `draw`, by `generation.edit`."""
        pairs = zip(images, instructions, strict=True)
        documents = [edit_document(image, words, prompts=self.prompts) for image, words in pairs]
        nulls = [edit_document(image, None, prompts=self.prompts) for image in images]
        return self.draw_documents(documents, nulls, seeds, self.generation.edit.override(sampling))

    def draw_documents(
        self,
        documents: Sequence[Document],
        nulls: Sequence[Document],
        seeds: list[int],
        sampling: SamplingConfig | Sequence[SamplingConfig],
    ) -> Tensor:
        """Draws the open Draw that each document ends in; `nulls` are the documents without what guidance is towards.

        Args:
            documents: one for each image.
            nulls: as many.
            seeds: as many.
            sampling: of all rows, or one for each.

        Returns:
            (B, 3, H, W) uint8.

        Raises:
            ValueError: a component is missing, a setting is out of range, or a document is longer than the context.
        """
        self.require("tokenizer", "detokenizer", "language", "text_tokenizer", does="drawing")
        prompts = [self.segment(d) for d in documents]
        twins = [self.segment(d) for d in nulls]
        seen = self.seen(prompts), self.seen(twins)
        codes = draw_codes(self.language, prompts, twins, *seen, seeds, sampling)
        return self.decode(codes, seeds)

    def segment(self, document: Document, ask: bool = False) -> Segment:
        """A document as tokens, with the codes of what is drawn in it; `ask` opens the assistant's turn.

        Raises:
            ValueError: it leaves no room for an image in the context.
        """
        segment = self._with_codes(self.sequencer.segment(document, ask=ask))
        room = self.language.context - self.language.draw_tokens - 2
        if len(segment) > room:
            raise ValueError(
                f"the prompt is {len(segment)} tokens long, this model's context has room for {room}: shorten it"
            )
        return segment

    def _with_codes(self, segment: Segment) -> Segment:
        """The segment with the codes of the images that were drawn in it."""
        uses = zip(segment.images, segment.image_uses, strict=True)
        drawn = [image for image, use in uses if use == DRAW and image is not None]
        if not drawn:
            return segment
        squares = torch.stack([self.code_input.resized(image) for image in drawn])
        codes = iter(self.encode(squares).flatten().tolist())
        first, pairs = self.language.vocabulary.first_code, zip(segment.ids, segment.kinds, strict=True)
        return replace(segment, ids=[first + next(codes) if kind == DRAW else i for i, kind in pairs])

    def seen(self, segments: Sequence[Segment]) -> Tensor:
        """Features (S, N, D) of every See in the segments, in order; each image is encoded once."""
        seen = [im for s in segments for im, use in zip(s.images, s.image_uses, strict=True) if use == SEE]
        if not seen:
            return self._nothing_seen()
        distinct = {id(image): image for image in seen}
        place = {key: number for number, key in enumerate(distinct)}
        with torch.no_grad():
            features = self.see(torch.stack([self.image_input.resized(im) for im in distinct.values()]))
        return features[[place[id(image)] for image in seen]]

    def understand(self, documents: Sequence[Document], limit: int | None = None) -> list[str]:
        """Answers each document (an image, a question, ...) in words, `limit` tokens at most."""
        limit = limit or self.generation.max_new_tokens.describe
        prompts = [self.segment(d, ask=True) for d in documents]
        written = write_text(self.language, prompts, self.seen(prompts), limit)
        return [self.words(row) for row in written]

    def words(self, ids: list[int]) -> str:
        """Text ids to words; what ends a turn, and what is no text's, is left out."""
        stops, words = self.language.stops, self.language.vocabulary.text_size
        return self.text_tokenizer.decode([i for i in ids if i < words and i not in stops]).strip()

    def ask(
        self, images: Tensor | Sequence[Tensor], questions: Sequence[str], limit: int | None = None
    ) -> list[str]:
        """Answers one question about each image (3, H, W); they may differ in size where the model slices."""
        documents = [[See(im), Text(q)] for im, q in zip(images, questions, strict=True)]
        return self.understand(documents, limit or self.generation.max_new_tokens.answer)

    def describe(
        self, images: Tensor | Sequence[Tensor], detail: bool = False, limit: int | None = None
    ) -> list[str]:
        """Describes each image (3, H, W) in a sentence, or object by object; sizes as in `ask`."""
        documents = [describe_document(image, detail=detail, prompts=self.prompts) for image in images]
        return self.understand(documents, limit or self.generation.max_new_tokens.describe)

    def assess(self, images: Tensor, captions: Sequence[str], limit: int | None = None) -> list[str]:
        """The model's own words on how well images (B, 3, H, W) show what their captions ask for."""
        pairs = zip(images, captions, strict=True)
        documents = [assess_document(image, words, prompts=self.prompts) for image, words in pairs]
        return self.understand(documents, limit or self.generation.max_new_tokens.assess)

    @torch.no_grad()
    def confidence(self, images: Tensor, captions: Sequence[str], begun: Sequence[str]) -> list[float]:
        """Probability of "yes" against "no" as the next word of assessments that were begun."""
        ways = [
            [
                self.segment(assess_document(image, caption, f"{text} {word}", self.prompts))
                for image, caption, text in zip(images, captions, begun, strict=True)
            ]
            for word in ("yes", "no")
        ]
        pairs = [(yes.ids, no.ids) for yes, no in zip(*ways, strict=True)]
        # where the two spellings part; a tokenizer may join the word to what stands before it
        parts = [next(i for i, (a, b) in enumerate(zip(*ids, strict=False)) if a != b) for ids in pairs]
        segments = [segment.until(end) for segment, end in zip(ways[0], parts, strict=True)]
        logits = self.language.logits(Prefill(self.language, segments, self.seen(segments)).last)
        words = torch.tensor([[yes[i], no[i]] for (yes, no), i in zip(pairs, parts, strict=True)])
        return logits.gather(1, words.to(logits.device)).softmax(-1)[:, 0].tolist()

    def redraw(
        self,
        images: Tensor,
        captions: Sequence[str],
        assessments: Sequence[str],
        seeds: list[int],
        sampling: SamplingConfig | None = None,
    ) -> Tensor:
        """Draws again what images (B, 3, H, W) missed, after their assessments; same shape out, sampling as in `draw`."""
        documents = [
            redraw_document(image, caption, text, prompts=self.prompts)
            for image, caption, text in zip(images, captions, assessments, strict=True)
        ]
        nulls = [draw_document(None, prompts=self.prompts)] * len(documents)
        return self.draw_documents(documents, nulls, seeds, self.generation.draw.override(sampling))

    def talk(
        self,
        parts: Sequence[str | Tensor],
        seed: int = 0,
        sampling: SamplingConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[str | Tensor]:
        """As `chat`, told as it comes about: pieces of text, which belong together up to the next image."""
        return converse(self, parts, seed, sampling, limit)

    def chat(
        self,
        parts: Sequence[str | Tensor],
        seed: int = 0,
        sampling: SamplingConfig | None = None,
        limit: int | None = None,
    ) -> list[str | Tensor]:
        """Any-to-any: text and images (3, H, W) in, text and images out, as many as the model chooses to make.

        Args:
            parts: of the user's turn.
            seed: of what is drawn.
            sampling: of what is drawn, laid over `generation.chat`.
            limit: tokens of one text; None: `generation.max_new_tokens.chat`.
        """
        answer: list[str | Tensor] = []
        for part in self.talk(parts, seed, sampling, limit):
            if isinstance(part, str) and answer and isinstance(answer[-1], str):
                answer[-1] += part
            else:
                answer.append(part)
        return answer
