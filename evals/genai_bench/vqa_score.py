"""VQAScore (arXiv 2404.01291): how sure a model that answers questions on images is that an image shows a text.

It is the probability that the answer to QUESTION begins with "Yes". Any model of `transformers` that takes images and
text and writes text can be asked, be it decoder-only or encoder-decoder; which token an answer begins with is read from
its logits, as `generate` has them before any sampling setting.
"""

from typing import Any, Protocol

import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from evals.pinned_weights import check_pin, split_pin
from evals.published_weights import load, load_network, name_of, settings_of

QUESTION = 'Does this figure show "{}"? Please answer yes or no.'
YES = ("Yes", "▁Yes", "ĠYes")  # as a vocabulary spells the word, alone and after a space


class Scorer(Protocol):
    """Says how surely an image shows a text.

    Attributes:
        name: what names it in a report.
        protocol: what exactly its score is.
    """

    name: str
    protocol: str

    def score(self, image: Image.Image, text: str) -> float:
        """From 0 to 1, for an RGB image."""


class VlmScorer:
    """Asks a vision language model of `transformers`.

    Where its vocabulary spells "Yes" with and without a space before it, the two probabilities are added: which of the
    two an answer begins with is a matter of the chat template.

    Args:
        source: folder or hub name, perhaps with the hash that its weights must have (`NAME@HASH`).
        device: where it runs; in bfloat16 on a GPU.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: it does not load, cannot be asked, has no token "Yes", or has other weights.
    """

    protocol = f'VQAScore: the probability that the answer to {QUESTION!r} begins with "Yes"'

    def __init__(self, source: str, device: str = "cpu") -> None:
        source, pin = split_pin(source, "--vlm")
        config = load(AutoConfig.from_pretrained, source, "--vlm")
        if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
            raise ValueError(
                f"--vlm {source} is a {config.model_type}: give a model that answers questions on images"
            )
        self.processor = load(AutoProcessor.from_pretrained, source, "--vlm")
        if not all(hasattr(self.processor, part) for part in ("tokenizer", "image_processor")):
            raise ValueError(
                f"--vlm {source} has no processor of both images and text: give its whole folder"
            )
        self.yes = yes_tokens(self.processor.tokenizer, source)
        self._check_asking(config, source)
        self.network = load_network(AutoModelForImageTextToText, source, "--vlm", device, dtype_of(device))
        template = getattr(self.processor, "chat_template", None)
        settings = settings_of(self.processor.image_processor) | {"template": template}
        self.name = name_of(source, self.network, settings)
        check_pin(self.name, pin, "--vlm")

    def _check_asking(self, config: Any, source: str) -> None:
        """A blank image must leave its mark in the question, or the model would answer without having seen one."""
        image_token, said = getattr(config, "image_token_id", None), "the image has no place in the question"
        try:
            ids = self._asked(Image.new("RGB", (64, 64)), "a blank")["input_ids"]
            seen = image_token is None or bool((ids == image_token).any())
        except ValueError as error:
            seen, said = False, " ".join(str(error).split())[:200]
        if not seen:
            raise ValueError(f"--vlm {source} cannot be asked: {said}; give one that has a chat template")

    def _asked(self, image: Image.Image, text: str) -> Any:
        """The processor's tensors for a question."""
        question = QUESTION.format(text)
        if getattr(self.processor, "chat_template", None) is None:
            return self.processor(images=[image], text=[question], return_tensors="pt")
        parts = [{"type": "image", "image": image}, {"type": "text", "text": question}]
        return self.processor.apply_chat_template(
            [{"role": "user", "content": parts}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )

    @torch.no_grad()
    def score(self, image: Image.Image, text: str) -> float:
        """The probability of "Yes"."""
        inputs = self._asked(image, text).to(self.network.device, self.network.dtype)
        answer = self.network.generate(
            **inputs,
            max_new_tokens=1,
            do_sample=False,
            num_beams=1,
            output_logits=True,
            return_dict_in_generate=True,
        )
        return float(answer.logits[0][0].float().softmax(-1)[self.yes].sum())  # of (1, V)


def yes_tokens(tokenizer: Any, source: str) -> list[int]:
    """The tokens that are the whole word "Yes".

    Raises:
        ValueError: there is none.
    """
    vocabulary = tokenizer.get_vocab()
    found = [vocabulary[spelling] for spelling in YES if spelling in vocabulary]
    if not found:
        raise ValueError(
            f'--vlm {source} has no token "Yes", so its answer is not told by one token: give another model'
        )
    return found


def dtype_of(device: str) -> torch.dtype:
    """The precision that a scorer runs in: bfloat16 on a GPU, as published, and single on a CPU."""
    return torch.float32 if device == "cpu" else torch.bfloat16
