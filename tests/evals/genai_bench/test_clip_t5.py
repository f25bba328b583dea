"""CLIP-FlanT5 from a folder in its published layout, against the published steps written out once more."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import cross_entropy, gelu, linear
from transformers import AutoImageProcessor, AutoTokenizer

from evals.genai_bench.clip_t5 import SYSTEM, ClipT5Scorer, is_clip_t5, pad_to_square
from tests.evals.genai_bench.tiny_vlms import save_clip_t5, save_llava, t5_and_eye, word_tokenizer

ASKED = 'Does this figure show "a red cow"? Please answer yes or no.'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip_t5(tmp_path_factory.mktemp("clip_t5") / "flan")


def noise(seed: int = 0, size: tuple[int, int] = (40, 64)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


@torch.no_grad()
def published(folder: Path, image: Image.Image) -> float:
    """The score by the two networks and the two layers themselves."""
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    words = AutoTokenizer.from_pretrained(folder)
    text, eye = t5_and_eye(folder.parent / "flan-vision", len(words))
    text.load_state_dict({key: weights[key] for key in text.state_dict()})
    processor = AutoImageProcessor.from_pretrained(folder.parent / "flan-vision", backend="pil")
    ground = tuple(int(part * 255) for part in processor.image_mean)
    side = max(image.size)
    square = Image.new("RGB", (side, side), ground)
    square.paste(image, (0, (side - image.height) // 2))
    pixels = processor.preprocess(square, return_tensors="pt")["pixel_values"]
    seen = eye(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
    hidden = gelu(linear(seen, weights["mm_projector.0.weight"], weights["mm_projector.0.bias"]))
    seen = linear(hidden, weights["mm_projector.2.weight"], weights["mm_projector.2.bias"])
    pieces = f"{SYSTEM} USER: <image>\n{ASKED} ASSISTANT: ".split("<image>")
    before, after = (text.shared(torch.tensor([words(piece).input_ids])) for piece in pieces)
    labels = torch.tensor([words("Yes").input_ids])
    embedded = torch.cat([before, seen, after], 1)
    logits = text(inputs_embeds=embedded, attention_mask=torch.ones(embedded.shape[:2]), labels=labels).logits
    return float((-cross_entropy(logits[0], labels[0])).exp())


def test_it_scores_as_published(folder: Path) -> None:
    assert is_clip_t5(str(folder))
    scorer = ClipT5Scorer(str(folder))
    for seed in range(3):
        assert scorer.score(noise(seed), "a red cow") == pytest.approx(
            published(folder, noise(seed)), rel=1e-4, abs=0
        )
    assert scorer.score(noise(0), "a red cow") != pytest.approx(scorer.score(noise(1), "a red cow"), rel=1e-3)
    assert scorer.name.startswith("flan (") and "geometric mean" in scorer.protocol


def test_every_published_weight_has_its_place(folder: Path) -> None:
    """By name and value, so that none is left as it was made."""
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    network = ClipT5Scorer(str(folder)).network
    assert torch.equal(network.lm_head.weight, weights["lm_head.weight"])
    assert not torch.equal(network.lm_head.weight, network.shared.weight)
    assert torch.equal(network.mm_projector[2].bias, weights["mm_projector.2.bias"])
    eye = network.vision_tower["vision_tower"]
    key = "vision_tower.vision_tower.vision_model.embeddings.patch_embedding.weight"
    assert torch.equal(eye.embeddings.patch_embedding.weight, weights[key])


def test_lost_weights_are_told(tmp_path: Path) -> None:
    folder = save_clip_t5(tmp_path / "flan")
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    del weights["mm_projector.0.weight"]
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"lacks 1 of its weights, mm_projector.0.weight among them"):
        ClipT5Scorer(str(folder))


def test_its_tokenizer_may_lie_elsewhere(tmp_path: Path) -> None:
    folder = save_clip_t5(tmp_path / "flan", tokenizer=False)
    with pytest.raises(ValueError, match="holds no tokenizer: give its T5's as --vlm-tokenizer"):
        ClipT5Scorer(str(folder))
    word_tokenizer(end=True).save_pretrained(tmp_path / "words")
    assert 0 < ClipT5Scorer(str(folder), tokenizer=str(tmp_path / "words")).score(noise(), "a cat") < 1
    word_tokenizer(yes=(), end=True).save_pretrained(tmp_path / "wordless")
    with pytest.raises(ValueError, match='no token "Yes" with an end behind it'):
        ClipT5Scorer(str(folder), tokenizer=str(tmp_path / "wordless"))


def test_what_is_built_otherwise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mm_projector_type 'linear', only 'mlp2x_gelu' is built here"):
        ClipT5Scorer(str(save_clip_t5(tmp_path / "linear", mm_projector_type="linear")))
    with pytest.raises(FileNotFoundError, match="vision tower none: there is no such folder"):
        ClipT5Scorer(str(save_clip_t5(tmp_path / "blind", mm_vision_tower="none")))
    assert not is_clip_t5(str(save_llava(tmp_path / "llava")))


def test_a_square_holds_the_whole_image() -> None:
    image = pad_to_square(noise(size=(10, 30)), (1, 2, 3))
    assert (
        image.size == (30, 30)
        and image.getpixel((0, 9)) == (1, 2, 3)
        and image.getpixel((29, 20)) == (1, 2, 3)
    )
    assert np.array_equal(np.array(image)[10:20], np.array(noise(size=(10, 30))))
