"""Illume: encoder, tokenizer, detokenizer and language model behind understand, draw, edit and chat."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from models.agreement import check_parts
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
from models.language.decoding import Continuation, write_text
from models.language.drawing import Numbers, draw_codes
from models.language.unified_lm import UnifiedLM
from models.model_folder import load_parts, parts_hash, save_parts
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
    """

    def __init__(
        self,
        encoder: VisionEncoder | None = None,
        tokenizer: SemanticTokenizer | PixelTokenizer | None = None,
        detokenizer: DiffusionDetokenizer | StableDiffusionDetokenizer | PixelDecoder | None = None,
        language: UnifiedLM | None = None,
        text_tokenizer: PreTrainedTokenizerBase | None = None,
        understanding_encoder: VisionEncoder | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.tokenizer, self.detokenizer = encoder, tokenizer, detokenizer
        self.language, self.text_tokenizer = language, text_tokenizer
        self.understanding_encoder = understanding_encoder
        check_parts(self)

    @classmethod
    def from_pretrained(cls, folder: str, only: Sequence[str] | None = None) -> "Illume":
        """Loads a model folder, or only some of its parts.

        Raises:
            FileNotFoundError: no such model folder.
            ValueError: its parts do not fit each other.
        """
        return cls(**load_parts(folder, only)).eval()

    def save_pretrained(self, folder: str) -> None:
        """Writes the parts that are there, as safetensors with JSON configs."""
        save_parts(self, folder)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @cached_property
    def sequencer(self) -> Sequencer:
        """Documents to segments, for this model's vocabulary and image sizes."""
        return Sequencer(
            self.language.vocabulary,
            Spelling(self.text_tokenizer),
            self.language.see_tokens,
            self.language.draw_tokens,
            self.language.turns,
            self.language.slicing,
        )

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Continuous features: (B, 3, H, W) uint8 -> (B, N, D)."""
        return self.encoder(images.to(self.device))

    def see(self, images: Tensor) -> Tensor:
        """Features for the language model to see: (B, 3, H, W) uint8 -> (B, N, D); gradients pass."""
        return (self.understanding_encoder or self.encoder)(images.to(self.device))

    def inputs(self, batch: PackedBatch) -> tuple[Tensor, Tensor]:
        """Features (S, N, D) of a batch's See blocks and codes (n, N) of its Draw blocks, each image encoded once."""
        looked = batch.see_images[batch.see_images >= 0]
        shared = self.understanding_encoder is None and len(looked) > 0
        with torch.no_grad():
            codes = batch.ids[batch.draw_mask].view(-1, self.language.draw_tokens)
            codes = codes - self.language.vocabulary.first_code  # those that were known before
            new = batch.draw_images >= 0
            used = torch.cat([batch.draw_images[new], looked]) if shared else batch.draw_images[new]
            needed, place = used.unique(return_inverse=True)
            features = self.encoder(batch.images[needed]) if len(needed) else None
            drawn = place[: int(new.sum())]
            if len(drawn):
                codes[new] = self._codes(batch.images[needed][drawn], features[drawn])
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
        """Names what makes codes (encoder and tokenizer) or features (the encoder), to know what is stale."""
        return parts_hash([getattr(self, name) for name in parts])

    def _nothing_seen(self) -> Tensor:
        width = self.language.adapter[0].in_features
        return torch.zeros(0, self.language.see_tokens, width, device=self.device)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Discrete codes: (B, 3, H, W) uint8 -> (B, N)."""
        return self._codes(images.to(self.device))

    def _codes(self, images: Tensor, features: Tensor | None = None) -> Tensor:
        """Codes (B, N) from what the tokenizer reads; features that are there already are not made again."""
        if self.tokenizer.reads == "pixels":
            return self.tokenizer.encode(images)
        return self.tokenizer.encode(self.encoder(images) if features is None else features)

    @torch.no_grad()
    def decode(self, codes: Tensor, seeds: list[int], steps: int | None = None) -> Tensor:
        """Codes (B, N) -> images (B, 3, H, W) uint8; the seeds fix what the codes leave open."""
        return self.detokenizer.decode(self.tokenizer.decode(codes), seeds, steps)

    def draw(
        self,
        prompts: Sequence[str],
        seeds: list[int],
        cfg: Numbers = 1.25,
        temperature: Numbers = 0.6,
        top_k: int | Sequence[int] = 0,
        top_p: Numbers = 1.0,
    ) -> Tensor:
        """Text to images (B, 3, H, W) uint8, one for each prompt and seed; settings as in `draw_codes`."""
        documents = [draw_document(prompt) for prompt in prompts]
        nulls = [draw_document(None)] * len(documents)
        return self.draw_documents(documents, nulls, seeds, cfg, temperature, top_k, top_p)

    def edit(
        self,
        images: Tensor,
        instructions: Sequence[str],
        seeds: list[int],
        cfg: Numbers = 1.0,
        temperature: Numbers = 0.3,
        top_k: int | Sequence[int] = 0,
        top_p: Numbers = 1.0,
    ) -> Tensor:
        """Edits images (B, 3, H, W) by instructions; same shape out. Settings as in `draw_codes`."""
        documents = [edit_document(image, words) for image, words in zip(images, instructions, strict=True)]
        nulls = [edit_document(image, None) for image in images]
        return self.draw_documents(documents, nulls, seeds, cfg, temperature, top_k, top_p)

    def draw_documents(
        self,
        documents: Sequence[Document],
        nulls: Sequence[Document],
        seeds: list[int],
        cfg: Numbers,
        *choice: Any,
    ) -> Tensor:
        """Draws the open Draw that each document ends in; `nulls` are the documents without what guidance is towards.

        Args:
            documents: one for each image.
            nulls: as many.
            seeds: as many.
            cfg: guidance, as in `draw_codes`.
            choice: its temperature, top_k and top_p.

        Returns:
            (B, 3, H, W) uint8.

        Raises:
            ValueError: guidance out of range, or a document longer than the context.
        """
        scale = torch.as_tensor(cfg, dtype=torch.float32)
        if not (scale.min() >= 0 and scale.max() <= 100):
            raise ValueError(f"cfg {cfg} is out of range: 1 is no guidance, 1.25 is usual, 100 the most")
        prompts = [self.segment(d) for d in documents]
        twins = [self.segment(d) for d in nulls]
        seen = self.seen(prompts), self.seen(twins)
        codes = draw_codes(self.language, prompts, twins, *seen, seeds, cfg, *choice)
        return self.decode(codes, seeds)

    def segment(self, document: Document, ask: bool = False) -> Segment:
        """A document as tokens, with the codes of what is drawn in it; `ask` opens the assistant's turn.

        Raises:
            ValueError: it leaves no room for an image in the context.
        """
        segment = self._with_codes(self.sequencer.segment(document, ask=ask))
        room = self.language.trunk.config.max_position_embeddings - self.language.draw_tokens - 2
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
        codes = iter(self.encode(torch.stack(drawn)).flatten().tolist())
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
            features = self.see(torch.stack(list(distinct.values())))
        return features[[place[id(image)] for image in seen]]

    def understand(self, documents: Sequence[Document], limit: int = 64) -> list[str]:
        """Answers each document (an image, a question, ...) in words."""
        prompts = [self.segment(d, ask=True) for d in documents]
        written = write_text(self.language, prompts, self.seen(prompts), limit)
        return [self.words(row) for row in written]

    def words(self, ids: list[int]) -> str:
        """Text ids to words; what ends a turn, and what is no text's, is left out."""
        stop, words = self.language.turns.stop, self.language.vocabulary.text_size
        return self.text_tokenizer.decode([i for i in ids if i < words and i != stop]).strip()

    def ask(self, images: Tensor | Sequence[Tensor], questions: Sequence[str]) -> list[str]:
        """Answers one question about each image (3, H, W); they may differ in size where the model slices."""
        return self.understand(
            [[See(im), Text(q)] for im, q in zip(images, questions, strict=True)], limit=16
        )

    def describe(self, images: Tensor | Sequence[Tensor], detail: bool = False) -> list[str]:
        """Describes each image (3, H, W) in a sentence, or object by object; sizes as in `ask`."""
        return self.understand([describe_document(image, detail=detail) for image in images])

    def assess(self, images: Tensor, captions: Sequence[str]) -> list[str]:
        """The model's own words on how well images (B, 3, H, W) show what their captions ask for."""
        pairs = zip(images, captions, strict=True)
        return self.understand([assess_document(image, words) for image, words in pairs], limit=256)

    @torch.no_grad()
    def confidence(self, images: Tensor, captions: Sequence[str], begun: Sequence[str]) -> list[float]:
        """Probability of "yes" against "no" as the next word of assessments that were begun."""
        ways = [
            [
                self.segment(assess_document(image, caption, f"{text} {word}"))
                for image, caption, text in zip(images, captions, begun, strict=True)
            ]
            for word in ("yes", "no")
        ]
        pairs = [(yes.ids, no.ids) for yes, no in zip(*ways, strict=True)]
        # where the two spellings part; a tokenizer may join the word to what stands before it
        parts = [next(i for i, (a, b) in enumerate(zip(*ids, strict=False)) if a != b) for ids in pairs]
        segments = [segment.until(end) for segment, end in zip(ways[0], parts, strict=True)]
        logits = self.language.logits(Continuation(self.language, segments, self.seen(segments)).last)
        words = torch.tensor([[yes[i], no[i]] for (yes, no), i in zip(pairs, parts, strict=True)])
        return logits.gather(1, words.to(logits.device)).softmax(-1)[:, 0].tolist()

    def redraw(
        self,
        images: Tensor,
        captions: Sequence[str],
        assessments: Sequence[str],
        seeds: list[int],
        cfg: Numbers = 1.25,
        temperature: Numbers = 0.6,
        top_k: int | Sequence[int] = 0,
        top_p: Numbers = 1.0,
    ) -> Tensor:
        """Draws again what images (B, 3, H, W) missed, after their assessments; same shape out."""
        documents = [
            redraw_document(image, caption, text)
            for image, caption, text in zip(images, captions, assessments, strict=True)
        ]
        nulls = [draw_document(None)] * len(documents)
        return self.draw_documents(documents, nulls, seeds, cfg, temperature, top_k, top_p)

    def talk(self, parts: Sequence[str | Tensor], seed: int = 0, **settings: Any) -> Iterator[str | Tensor]:
        """As `chat`, told as it comes about: pieces of text, which belong together up to the next image."""
        return converse(self, parts, seed, **settings)

    def chat(self, parts: Sequence[str | Tensor], seed: int = 0, **settings: Any) -> list[str | Tensor]:
        """Any-to-any: text and images (3, H, W) in, text and images out, as many as the model chooses to make.

        Args:
            parts: of the user's turn.
            seed: of what is drawn.
            settings: cfg and temperature of what is drawn, and limit, the most tokens of a text (1.0, 0.7 and 96).
        """
        answer: list[str | Tensor] = []
        for part in self.talk(parts, seed, **settings):
            if isinstance(part, str) and answer and isinstance(answer[-1], str):
                answer[-1] += part
            else:
                answer.append(part)
        return answer
