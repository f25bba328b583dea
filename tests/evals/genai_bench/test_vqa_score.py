"""VQAScore of real classes, causal and encoder-decoder, is the probability of "Yes" in their own forward pass."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoProcessor,
    Blip2ForConditionalGeneration,
    LlavaForConditionalGeneration,
)

from evals.genai_bench.vqa_score import VlmScorer
from tests.evals.genai_bench.tiny_vlms import save_blip2, save_llava
from tests.evals.geneval.tiny_networks import save_clip

ASKED = 'Does this figure show "a red cow"? Please answer yes or no.'


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vlms")
    save_llava(folder / "llava")
    save_blip2(folder / "blip2")
    return folder


def noise(seed: int = 0, size: tuple[int, int] = (40, 48)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


@torch.no_grad()
def test_a_causal_model_as_it_computes_itself(base: Path) -> None:
    scorer = VlmScorer(str(base / "llava"))
    network = LlavaForConditionalGeneration.from_pretrained(base / "llava").eval()
    processor = AutoProcessor.from_pretrained(base / "llava")
    inputs = processor(images=noise(), text=f"USER: <image>\n{ASKED} ASSISTANT:", return_tensors="pt")
    assert (inputs["input_ids"] == network.config.image_token_id).sum() == 16
    printed = network(**inputs).logits[0, -1].softmax(-1)
    yes = processor.tokenizer.convert_tokens_to_ids("Yes")
    assert scorer.score(noise(), "a red cow") == pytest.approx(float(printed[yes]), rel=1e-4, abs=0)
    others = {scorer.score(noise(1), "a red cow"), scorer.score(noise(), "two cat"), float(printed[yes])}
    assert len(others) == 3  # image and text both count
    assert re.fullmatch(r"llava \([0-9a-f]{12}\)", scorer.name)


@torch.no_grad()
def test_an_encoder_decoder_as_it_computes_itself(base: Path) -> None:
    scorer = VlmScorer(str(base / "blip2"))
    network = Blip2ForConditionalGeneration.from_pretrained(base / "blip2").eval()
    processor = AutoProcessor.from_pretrained(base / "blip2")
    inputs = processor(images=noise(), text=ASKED, return_tensors="pt")
    start = torch.tensor([[network.config.text_config.decoder_start_token_id]])
    printed = network(**inputs, decoder_input_ids=start).logits[0, 0].softmax(-1)
    yes = processor.tokenizer.convert_tokens_to_ids("Yes")
    assert scorer.score(noise(), "a red cow") == pytest.approx(float(printed[yes]), rel=1e-4, abs=0)
    assert scorer.score(noise(1), "a red cow") != scorer.score(noise(), "a red cow")


@torch.no_grad()
def test_both_spellings_of_yes_count(tmp_path: Path) -> None:
    scorer = VlmScorer(str(save_llava(tmp_path / "llava", yes=("Yes", "ĠYes"))))
    network, processor = scorer.network, scorer.processor
    inputs = processor(images=noise(), text=f"USER: <image>\n{ASKED} ASSISTANT:", return_tensors="pt")
    printed = network(**inputs).logits[0, -1].softmax(-1)
    both = sum(float(printed[processor.tokenizer.convert_tokens_to_ids(word)]) for word in ("Yes", "ĠYes"))
    assert scorer.score(noise(), "a red cow") == pytest.approx(both, rel=1e-4, abs=0)


def test_what_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='wordless has no token "Yes"'):
        VlmScorer(str(save_llava(tmp_path / "wordless", yes=("yes",))))
    with pytest.raises(ValueError, match="plain cannot be asked: .*; give one that has a chat template"):
        VlmScorer(str(save_llava(tmp_path / "plain", template=None)))
    with pytest.raises(ValueError, match="clip is a clip: give a model that answers questions on images"):
        VlmScorer(str(save_clip(tmp_path / "clip")))
    with pytest.raises(FileNotFoundError, match="--vlm none: there is no such folder"):
        VlmScorer("none")


def test_weights_are_told_by_their_hash(base: Path, tmp_path: Path) -> None:
    name = VlmScorer(str(base / "llava")).name
    pin = name.removesuffix(")").split("(")[1]
    assert VlmScorer(f"{base / 'llava'}@{pin}").name == name
    other = save_llava(tmp_path / "llava", seed=1)
    with pytest.raises(ValueError, match=f"--vlm: these weights are llava .*, and not {pin}"):
        VlmScorer(f"{other}@{pin}")
    (other / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="does not load"):
        VlmScorer(str(other))
