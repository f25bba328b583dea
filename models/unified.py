"""Illume: draw, edit, ask, describe and chat, for a notebook and for every command.

`draw`, `edit`, `ask`, `describe` and `chat` take what a user has at hand: strings or lists of them, and images as paths,
PIL images or uint8 tensors of any size; they return PIL images and strings. Methods that end in `_batch` are the same on
tensors and explicit seeds, for training, evaluation and self-enhancement.
"""

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from common.checks import check_text
from models.conversation import converse
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
from models.document_model import DocumentModel
from models.generation import SamplingConfig
from models.language.prefill import Prefill
from models.model_folder import load_components, save_components
from models.user_input import ImageLike, as_list, is_list, load_image, make_seeds, pair_up, to_pictures

BATCH = 16  # images drawn at once by `draw` and `edit`


class Illume(DocumentModel):
    """Sees and draws (ILLUME section 3.1). Components as in `DocumentModel`.

    >>> illume = Illume.from_pretrained("pretrained/playground").to("cpu", torch.float32)
    >>> illume.draw("a green star", seed=3).size
    (48, 48)
    """

    @classmethod
    def from_pretrained(
        cls, folder: str | PathLike[str], only: Sequence[str] | None = None, as_stored: bool = False
    ) -> "Illume":
        """Loads a model folder, or `only` some components of it, in eval mode.

        A language model of several dtypes is brought to its trunk's, unless it is to be written or trained `as_stored`.

        Raises:
            FileNotFoundError: no such model folder.
            ValueError: its components do not fit each other.
        """
        components = load_components(folder, only)
        if "language" in components and not as_stored:
            language = components["language"]
            language.to(next(p.dtype for p in language.trunk.parameters() if p.is_floating_point()))
        try:
            return cls(**components).eval()
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from error

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Writes the components that are there, as safetensors with JSON configs."""
        save_components(self, folder)

    def draw(
        self,
        prompt: str | Sequence[str],
        seed: int | Sequence[int] | None = None,
        sampling: SamplingConfig | None = None,
    ) -> Image | list[Image]:
        """Draws an image of a prompt, or a list of images of a list of prompts.

        A seed is of the first image, and the others count on from it; or there is one for each; None is random. Each is
        in its image's `info["seed"]`. `sampling` is laid over the model's own settings (`generation.draw`).

        >>> stars = illume.draw(["a green star", "a red star"], seed=3, sampling=SamplingConfig(cfg=2.0))
        >>> [star.info["seed"] for star in stars]
        [3, 4]
        """
        prompts = [check_text(text, "the prompt") for text in as_list(prompt, "prompt")]
        images = self._draw(seed, sampling, self.draw_batch, prompts)
        return images[0] if isinstance(prompt, str) else images

    def edit(
        self,
        image: ImageLike | Sequence[ImageLike],
        instruction: str | Sequence[str],
        seed: int | Sequence[int] | None = None,
        sampling: SamplingConfig | None = None,
    ) -> Image | list[Image]:
        """Edits an image by an instruction; lists of either give a list. Seeds and sampling as in `draw`.

        >>> star = illume.draw("a green star", seed=3)
        >>> illume.edit(star, "make the star blue", seed=0).size
        (48, 48)
        """
        images, instructions, single = pair_up(image, instruction, "instruction")
        squares = [self.image_input.square(load_image(one)) for one in images]
        edited = self._draw(seed, sampling, self.edit_batch, torch.stack(squares), instructions)
        return edited[0] if single else edited

    def ask(
        self,
        image: ImageLike | Sequence[ImageLike],
        question: str | Sequence[str],
        limit: int | None = None,
    ) -> str | list[str]:
        """Answers a question about an image in at most `limit` tokens; lists of either give a list.

        >>> star = illume.draw("a green star", seed=3)
        >>> illume.ask(star, ["what colour is the star ?", "is there a circle ?"])
        ['green', 'no']
        """
        images, questions, single = pair_up(image, question, "question")
        answers = self.ask_batch(self.prepare_images(images), questions, limit)
        return answers[0] if single else answers

    def describe(
        self, image: ImageLike | Sequence[ImageLike], detail: bool = False, limit: int | None = None
    ) -> str | list[str]:
        """Describes an image in a sentence, or object by object with `detail`; a list gives a list.

        >>> illume.describe(illume.draw("a green star", seed=3), detail=True)
        'a star bottom left'
        """
        texts = self.describe_batch(self.prepare_images(as_list(image, "image")), detail, limit)
        return texts if is_list(image) else texts[0]

    def chat(
        self,
        turn: str | Sequence[str | Path | Image | Tensor],
        seed: int | None = None,
        sampling: SamplingConfig | None = None,
        limit: int | None = None,
    ) -> list[str | Image]:
        """Answers a turn of text and images (a path is a `Path`, for a string is text) by text and images.

        Seed and sampling are as in `draw`, laid over `generation.chat`; `limit` is of the tokens of one text.

        >>> [type(part).__name__ for part in illume.chat("draw : a green star", seed=1)]
        ['Image']
        """
        parts = [
            check_text(one) if isinstance(one, str) else self.image_input(load_image(one))
            for one in as_list(turn, "turn")
        ]
        (first,) = make_seeds(seed, 1)
        answer: list[str | Image] = []
        for part in self.stream_chat(parts, first, sampling, limit):
            if isinstance(part, Tensor):
                answer += to_pictures([part], [first + len(answer)])
            elif answer and isinstance(answer[-1], str):
                answer[-1] += part
            else:
                answer.append(part)
        return answer

    def prepare_images(self, images: Sequence[ImageLike]) -> list[Tensor]:
        """Images as the model sees them: (3, H, W) uint8, whole where it slices them and else square."""
        return [self.image_input(load_image(image)) for image in images]

    def _draw(
        self,
        seed: int | Sequence[int] | None,
        sampling: SamplingConfig | None,
        draw: Callable[..., Tensor],
        *inputs: Any,
    ) -> list[Image]:
        """What `draw` makes of the inputs and seeds, a batch at a time."""
        seeds, images = make_seeds(seed, len(inputs[0])), list[Tensor]()
        for start in range(0, len(seeds), BATCH):
            rows = slice(start, start + BATCH)
            images += draw(*(one[rows] for one in inputs), seeds[rows], sampling)
        return to_pictures(images, seeds)

    def draw_batch(
        self, prompts: Sequence[str], seeds: list[int], sampling: SamplingConfig | None = None
    ) -> Tensor:
        """Text to images (B, 3, H, W) uint8, one for each prompt and seed."""
        documents = [draw_document(prompt, prompts=self.prompts) for prompt in prompts]
        nulls = [draw_document(None, prompts=self.prompts)] * len(documents)
        return self.draw_documents(documents, nulls, seeds, self.generation.draw.override(sampling))

    def edit_batch(
        self,
        images: Tensor,
        instructions: Sequence[str],
        seeds: list[int],
        sampling: SamplingConfig | None = None,
    ) -> Tensor:
        """Edits images (B, 3, H, W) uint8 by instructions; same shape out."""
        pairs = zip(images, instructions, strict=True)
        documents = [edit_document(image, text, prompts=self.prompts) for image, text in pairs]
        nulls = [edit_document(document[0], None, prompts=self.prompts) for document in documents]
        return self.draw_documents(documents, nulls, seeds, self.generation.edit.override(sampling))

    def redraw_batch(
        self,
        images: Tensor,
        captions: Sequence[str],
        assessments: Sequence[str],
        seeds: list[int],
        sampling: SamplingConfig | None = None,
    ) -> Tensor:
        """Draws again what images (B, 3, H, W) missed, after their assessments; same shape out."""
        triples = zip(images, captions, assessments, strict=True)
        documents = [redraw_document(*triple, prompts=self.prompts) for triple in triples]
        nulls = [draw_document(None, prompts=self.prompts)] * len(documents)
        return self.draw_documents(documents, nulls, seeds, self.generation.draw.override(sampling))

    def ask_batch(
        self, images: Tensor | Sequence[Tensor], questions: Sequence[str], limit: int | None = None
    ) -> list[str]:
        """Answers one question about each image (3, H, W); they may differ in size where the model slices."""
        documents: list[Document] = [[See(im), Text(q)] for im, q in zip(images, questions, strict=True)]
        return self.understand(documents, limit or self.generation.max_new_tokens.answer)

    def describe_batch(
        self, images: Tensor | Sequence[Tensor], detail: bool = False, limit: int | None = None
    ) -> list[str]:
        """Describes each image (3, H, W); sizes as in `ask_batch`."""
        documents = [describe_document(image, detail=detail, prompts=self.prompts) for image in images]
        return self.understand(documents, limit or self.generation.max_new_tokens.describe)

    def assess_batch(self, images: Tensor, captions: Sequence[str], limit: int | None = None) -> list[str]:
        """Assessments, as text, of how well images (B, 3, H, W) show their captions (ILLUME section 3.4)."""
        pairs = zip(images, captions, strict=True)
        documents = [assess_document(image, text, prompts=self.prompts) for image, text in pairs]
        return self.understand(documents, limit or self.generation.max_new_tokens.assess)

    @torch.no_grad()
    def confidence(self, images: Tensor, captions: Sequence[str], begun: Sequence[str]) -> list[float]:
        """Probability of "yes" against "no" as the next word of assessments that were begun."""
        triples = list(zip(images, captions, begun, strict=True))
        yes, no = (
            [
                self.segment(assess_document(im, cap, f"{text} {word}", self.prompts))
                for im, cap, text in triples
            ]
            for word in ("yes", "no")
        )
        pairs = [(a.ids, b.ids) for a, b in zip(yes, no, strict=True)]
        # the first id that differs: a tokenizer may join the word to what stands before it
        ends = [next(i for i, (a, b) in enumerate(zip(*ids, strict=False)) if a != b) for ids in pairs]
        segments = self.encode_seen([segment[:end] for segment, end in zip(yes, ends, strict=True)])
        logits = self.language.logits(Prefill(self.language, segments).last)
        ids = torch.tensor([[a[i], b[i]] for (a, b), i in zip(pairs, ends, strict=True)])
        return logits.gather(1, ids.to(logits.device)).softmax(-1)[:, 0].tolist()

    def stream_chat(
        self,
        parts: Sequence[str | Tensor],
        seed: int = 0,
        sampling: SamplingConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[str | Tensor]:
        """`chat` as it is written: pieces of text, which belong together up to the next image, and images (3, H, W)."""
        return converse(self, parts, seed, sampling, limit)
