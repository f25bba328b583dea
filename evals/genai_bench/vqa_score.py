"""VQAScore (arXiv 2404.01291): the probability that a text describes an image, by a model that answers questions.

It is the probability that the answer to QUESTION begins with "Yes". Any model of `transformers` that takes images and
text and writes text can be asked, be it decoder-only or encoder-decoder; which token an answer begins with is read from
its logits, as `generate` has them before any sampling setting.
"""

from typing import Any, Protocol

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from evals.published_weights import WeightSource, processor_settings

QUESTION = 'Does this figure show "{}"? Please answer yes or no.'
YES = ("Yes", "▁Yes", "ĠYes")  # as a vocabulary spells the word, alone and after a space


class Scorer(Protocol):
    """Scores how well an image shows a text."""

    name: str  # of the network and its weights, for the report
    protocol: str  # definition of the score

    def score(self, image: Image.Image, text: str) -> float:
        """From 0 to 1, for an RGB image."""


class VlmScorer:
    """Asks a vision language model of `transformers`.

    Where its vocabulary spells "Yes" with and without a space before it, the two probabilities are added: which of the
    two an answer begins with depends on the chat template. On a GPU the network is in bfloat16.

    Raises ValueError if it does not load, cannot be asked, has no token "Yes", or has other weights than the hash names.
    """

    protocol = f'VQAScore: the probability that the answer to {QUESTION!r} begins with "Yes"'

    def __init__(self, source: str, device: str = "cpu") -> None:
        weights = WeightSource.parse(source, "--vlm")
        config = weights.load_config()
        if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
            raise ValueError(
                f"{weights} is a {config.model_type}: give a model that answers questions on images"
            )
        self.processor = weights.load(AutoProcessor.from_pretrained)
        if not all(hasattr(self.processor, name) for name in ("tokenizer", "image_processor")):
            raise ValueError(f"{weights} has no processor of both images and text: give its whole folder")
        self.yes = yes_tokens(self.processor.tokenizer, weights)
        self._check_question(config, weights)
        self.network = weights.load_network(AutoModelForImageTextToText, device, dtype_of(device))
        template = getattr(self.processor, "chat_template", None)
        settings = processor_settings(self.processor.image_processor) | {"template": template}
        self.name = weights.identify(self.network, settings)

    def _check_question(self, config: Any, weights: WeightSource) -> None:
        """Refuses a processor that puts no image into the question, which would be answered without one."""
        image_token, reason = (
            getattr(config, "image_token_id", None),
            "the image has no place in the question",
        )
        try:
            ids = self._inputs(Image.new("RGB", (64, 64)), "a blank")["input_ids"]
            has_image = image_token is None or bool((ids == image_token).any())
        except ValueError as error:
            has_image, reason = False, " ".join(str(error).split())[:200]
        if not has_image:
            raise ValueError(f"{weights} cannot be asked: {reason}; give one that has a chat template")

    def _inputs(self, image: Image.Image, text: str) -> Any:
        """The processor's tensors for a question."""
        question = QUESTION.format(text)
        if getattr(self.processor, "chat_template", None) is None:
            return self.processor(images=[image], text=[question], return_tensors="pt")
        content = [{"type": "image", "image": image}, {"type": "text", "text": question}]
        return self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )

    @torch.no_grad()
    def score(self, image: Image.Image, text: str) -> float:
        """The probability of "Yes"."""
        inputs = self._inputs(image, text).to(self.network.device, self.network.dtype)
        answer = self.network.generate(
            **inputs,
            max_new_tokens=1,
            do_sample=False,
            num_beams=1,
            output_logits=True,
            return_dict_in_generate=True,
        )
        return float(answer.logits[0][0].float().softmax(-1)[self.yes].sum())  # of (1, V)


def yes_tokens(tokenizer: Any, weights: WeightSource) -> list[int]:
    """The tokens that are the whole word "Yes". Raises ValueError if there is none."""
    vocabulary = tokenizer.get_vocab()
    found = [vocabulary[spelling] for spelling in YES if spelling in vocabulary]
    if not found:
        raise ValueError(
            f'{weights} has no token "Yes", so no single token gives its answer: give another model'
        )
    return found


def dtype_of(device: str) -> torch.dtype:
    """The precision of a scorer: bfloat16 on a GPU, as published, and single on a CPU."""
    return torch.float32 if device == "cpu" else torch.bfloat16
