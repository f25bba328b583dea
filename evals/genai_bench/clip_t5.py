"""CLIP-FlanT5, VQAScore's published scorer (zhiqiulin/clip-flant5-xxl and -xl), which `transformers` does not know.

A T5 whose encoder reads, between the words of a LLaVA-like conversation, the patches of a CLIP vision network through
two linear layers. Read from its published folder as it is: T5's names for T5, `vision_tower.vision_tower.` for CLIP's
vision network and `mm_projector.0` and `.2` for the two layers. How it is asked and scored follows its authors' code
(t2v_metrics of linzhiqiu): images are padded to squares, each piece of the conversation has an end token of its own, and
the score is the geometric mean of the probabilities of the two tokens of the answer, "Yes" and its end.

This never ran on the published weights, as no hub can be reached from where it was written: tests hold it against tiny
folders of the same layout, and against the published steps written out once more.
"""

from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedConfig,
    T5Config,
    T5ForConditionalGeneration,
)

from evals.genai_bench.vqa_score import QUESTION, dtype_of
from evals.pinned_weights import check_pin, split_pin
from evals.published_weights import load, load_network, name_of, settings_of

MODEL_TYPE = "clip_t5"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
BEFORE, AFTER = SYSTEM + " USER: ", "\n{} ASSISTANT: "
PROJECTOR = "mlp2x_gelu"


def is_clip_t5(source: str) -> bool:
    """Whether a folder or hub name holds a CLIP-FlanT5."""
    source, _ = split_pin(source, "--vlm")
    said, _ = load(PreTrainedConfig.get_config_dict, source, "--vlm")
    return said.get("model_type") == MODEL_TYPE


class ClipT5(T5ForConditionalGeneration):
    """T5 that reads images; its parts have the names of the published weights."""

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
        """Images (B, 3, H, W) as what the encoder reads (B, N, D)."""
        layers = self.vision_tower["vision_tower"](pixels, output_hidden_states=True).hidden_states
        return self.mm_projector(layers[self.config.mm_vision_select_layer][:, 1:])  # without the class token


class ClipT5Scorer:
    """Asks a CLIP-FlanT5.

    Args:
        source: folder or hub name, perhaps with the hash that its weights must have (`NAME@HASH`).
        device: where it runs; in bfloat16 on a GPU.
        tokenizer: that of its T5, which the published folder does not hold (google/flan-t5-xxl for -xxl); else its own.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: it does not load, is built otherwise, has no token "Yes", or has other weights.
    """

    protocol = (
        'VQAScore as published: the geometric mean of the probabilities of "Yes" and of the end after it, '
        f"answering {QUESTION!r}"
    )

    def __init__(self, source: str, device: str = "cpu", tokenizer: str | None = None) -> None:
        source, pin = split_pin(source, "--vlm")
        config = load(T5Config.from_pretrained, source, "--vlm")
        _check_build(config, source)
        self.tokenizer = _tokenizer(source, tokenizer)
        self.answer = _answer(self.tokenizer, source)
        self.processor = load(
            AutoImageProcessor.from_pretrained, config.mm_vision_tower, "--vlm's vision tower", backend="pil"
        )
        self.network: ClipT5 = load_network(ClipT5, source, "--vlm", device, dtype_of(device), config=config)  # type: ignore[assignment]
        self.name = name_of(source, self.network, settings_of(self.processor))
        check_pin(self.name, pin, "--vlm")

    @torch.no_grad()
    def score(self, image: Image.Image, text: str) -> float:
        """The geometric mean of the probabilities of the answer's two tokens."""
        network = self.network
        pixels = self.processor(images=squared(image, self._ground()), return_tensors="pt")["pixel_values"]
        seen = network.image_tokens(pixels.to(network.device, network.dtype))  # (1, N, D)
        words = [self._words(BEFORE), seen, self._words(AFTER.format(QUESTION.format(text)))]
        embedded = torch.cat(words, 1)  # (1, L, D)
        answer = torch.tensor([self.answer], device=network.device)  # (1, 2)
        begun = torch.tensor(
            [[network.config.pad_token_id, self.answer[0]]], device=network.device
        )  # T5 begins so
        logits = network(inputs_embeds=embedded, decoder_input_ids=begun).logits  # (1, 2, V)
        chosen = logits.float().log_softmax(-1).gather(2, answer[..., None])
        return float(chosen.mean().exp())

    def _words(self, text: str) -> Tensor:
        """Text as the encoder reads it (1, L, D), with an end token behind it."""
        ids = torch.tensor([self.tokenizer(text).input_ids], device=self.network.device)
        return self.network.get_input_embeddings()(ids)

    def _ground(self) -> tuple[int, ...]:
        return tuple(int(part * 255) for part in self.processor.image_mean)


def squared(image: Image.Image, ground: tuple[int, ...]) -> Image.Image:
    """An image in the middle of the smallest square of a colour that holds it."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), ground)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _check_build(config: T5Config, source: str) -> None:
    """What the published folders say of how the two networks are joined; nothing else is built here."""
    wanted = {"mm_projector_type": PROJECTOR, "mm_vision_select_feature": "patch"}
    for key, value in wanted.items():
        if (said := getattr(config, key, value)) != value:
            raise ValueError(f"--vlm {source}: its config says {key} {said!r}, only {value!r} is built here")
    needed = ("mm_vision_tower", "mm_hidden_size", "mm_vision_select_layer")
    if lost := [key for key in needed if not hasattr(config, key)]:
        raise ValueError(f"--vlm {source}: its config has no {lost[0]}, so it is no CLIP-FlanT5")


def _tokenizer(source: str, given: str | None) -> Any:
    if given is not None:
        return load(AutoTokenizer.from_pretrained, given, "--vlm-tokenizer")
    try:
        return load(AutoTokenizer.from_pretrained, source, "--vlm")
    except ValueError as error:
        raise ValueError(
            f"--vlm {source} holds no tokenizer: give its T5's as --vlm-tokenizer (google/flan-t5-xxl for -xxl)"
        ) from error


def _answer(tokenizer: Any, source: str) -> list[int]:
    ids = list(tokenizer("Yes").input_ids)
    if len(ids) != 2 or ids[0] == tokenizer.unk_token_id or ids[1] != tokenizer.eos_token_id:
        raise ValueError(
            f'--vlm {source}: its tokenizer has no token "Yes" with an end behind it: give --vlm-tokenizer another'
        )
    return ids
