"""CLIP-FlanT5, VQAScore's published scorer (zhiqiulin/clip-flant5-xxl and -xl), which `transformers` does not know.

A T5 whose encoder reads, between the words of a LLaVA-like conversation, the patches of a CLIP vision network through
two linear layers. Read from its published folder as it is: T5's names for T5, `vision_tower.vision_tower.` for CLIP's
vision network and `mm_projector.0` and `.2` for the two layers. How it is asked and scored follows its authors' code
(t2v_metrics of linzhiqiu): images are padded to squares, each piece of the conversation has an end token of its own, and
the score is the geometric mean of the probabilities of the two tokens of the answer, "Yes" and its end.

This never ran on the published weights, as no hub can be reached from where it was written: tests compare it with tiny
folders of the same layout, and with the published steps written out once more.
"""

from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedConfig,
    T5Config,
    T5ForConditionalGeneration,
)

from evals.genai_bench.vqa_score import QUESTION, dtype_of
from evals.published_weights import WeightSource, processor_settings

MODEL_TYPE = "clip_t5"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
BEFORE, AFTER = SYSTEM + " USER: ", "\n{} ASSISTANT: "
PROJECTOR = "mlp2x_gelu"


def is_clip_t5(source: str) -> bool:
    """Whether a folder or hub name holds a CLIP-FlanT5."""
    config, _ = WeightSource.parse(source, "--vlm").load(PreTrainedConfig.get_config_dict)
    return config.get("model_type") == MODEL_TYPE


class ClipT5(T5ForConditionalGeneration):
    """T5 that reads images; its modules have the names of the published weights."""

    _keep_in_fp32_modules: list[str] = []  # T5 keeps some there; the published one does not

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        vision = CLIPVisionConfig.from_pretrained(config.mm_vision_tower)
        self.vision_tower = nn.ModuleDict({"vision_tower": CLIPVisionModel(vision)})
        self.mm_projector = nn.Sequential(
            nn.Linear(config.mm_hidden_size, config.d_model),
            nn.GELU(),
            nn.Linear(config.d_model, config.d_model),
        )
        self.post_init()

    def image_tokens(self, pixels: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> embeddings that the encoder reads (B, N, D)."""
        layers = self.vision_tower["vision_tower"](pixels, output_hidden_states=True).hidden_states
        return self.mm_projector(layers[self.config.mm_vision_select_layer][:, 1:])  # without the class token


class ClipT5Scorer:
    """Asks a CLIP-FlanT5, in bfloat16 on a GPU.

    `tokenizer` is that of its T5, which the published folder does not hold (google/flan-t5-xxl for -xxl). Raises
    ValueError if it does not load, is built otherwise, has no token "Yes", or has other weights than the hash names.
    """

    protocol = (
        'VQAScore as published: the geometric mean of the probabilities of "Yes" and of the end after it, '
        f"answering {QUESTION!r}"
    )

    def __init__(self, source: str, device: str = "cpu", tokenizer: str | None = None) -> None:
        weights = WeightSource.parse(source, "--vlm")
        config = weights.load(T5Config.from_pretrained)
        _check_architecture(config, weights)
        self.tokenizer = _tokenizer(weights, tokenizer)
        self.answer = _answer(self.tokenizer, weights)
        vision = WeightSource.parse(config.mm_vision_tower, "--vlm's vision tower")
        self.processor = vision.load_image_processor()
        self.network: ClipT5 = weights.load_network(ClipT5, device, dtype_of(device), config=config)  # type: ignore[assignment]
        self.name = weights.identify(self.network, processor_settings(self.processor))

    @torch.no_grad()
    def score(self, image: Image.Image, text: str) -> float:
        """The geometric mean of the probabilities of the answer's two tokens."""
        network = self.network
        square = pad_to_square(image, tuple(int(part * 255) for part in self.processor.image_mean))
        pixels = self.processor(images=square, return_tensors="pt")["pixel_values"]
        tokens = network.image_tokens(pixels.to(network.device, network.dtype))  # (1, N, D)
        question = AFTER.format(QUESTION.format(text))
        embedded = torch.cat([self._embed(BEFORE), tokens, self._embed(question)], 1)  # (1, L, D)
        answer = torch.tensor([self.answer], device=network.device)  # (1, 2)
        start = [network.config.pad_token_id, self.answer[0]]  # as T5 decodes
        logits = network(
            inputs_embeds=embedded, decoder_input_ids=torch.tensor([start], device=network.device)
        ).logits  # (1, 2, V)
        log_probabilities = logits.float().log_softmax(-1).gather(2, answer[..., None])
        return float(log_probabilities.mean().exp())

    def _embed(self, text: str) -> Tensor:
        """Embeddings (1, L, D) of a text and the end token after it."""
        ids = torch.tensor([self.tokenizer(text).input_ids], device=self.network.device)
        return self.network.get_input_embeddings()(ids)


def pad_to_square(image: Image.Image, background: tuple[int, ...]) -> Image.Image:
    """An image in the centre of the smallest square that holds it."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), background)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _check_architecture(config: T5Config, weights: WeightSource) -> None:
    """Refuses another connection of the two networks than the published folders have."""
    for key, value in {"mm_projector_type": PROJECTOR, "mm_vision_select_feature": "patch"}.items():
        if (found := getattr(config, key, value)) != value:
            raise ValueError(f"{weights}: its config says {key} {found!r}, only {value!r} is built here")
    needed = ("mm_vision_tower", "mm_hidden_size", "mm_vision_select_layer")
    if missing := [key for key in needed if not hasattr(config, key)]:
        raise ValueError(f"{weights}: its config has no {missing[0]}, so it is no CLIP-FlanT5")


def _tokenizer(weights: WeightSource, given: str | None) -> Any:
    if given is not None:
        return WeightSource.parse(given, "--vlm-tokenizer").load_tokenizer()
    try:
        return weights.load_tokenizer()
    except ValueError as error:
        raise ValueError(
            f"{weights} holds no tokenizer: give its T5's as --vlm-tokenizer (google/flan-t5-xxl for -xxl)"
        ) from error


def _answer(tokenizer: Any, weights: WeightSource) -> list[int]:
    ids = list(tokenizer("Yes").input_ids)
    if len(ids) != 2 or ids[0] == tokenizer.unk_token_id or ids[1] != tokenizer.eos_token_id:
        raise ValueError(
            f'{weights}: its tokenizer has no token "Yes" with an end behind it: give --vlm-tokenizer another'
        )
    return ids
