"""As many images and answers are written at once as memory has room for, and they are the same however many that is."""

import pytest
import torch

from models import device
from models.device import free_memory
from models.document import describe_document, draw_document, edit_document
from models.generation import SamplingConfig
from models.language import cache_memory, drawing, text_generation
from models.language.cache_memory import (
    batch_size,
    bytes_per_row,
    bytes_per_token,
)
from models.language.unified_lm import UnifiedLM
from tests.fixtures import make_tiny_illume
from tests.perturb import perturb

VICUNA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
}


def vicuna(**changes):
    with torch.device("meta"):
        return UnifiedLM(VICUNA | changes, 32000, 16384, 1280, 256, 256)


def test_memory_of_a_7b_drawing_is_that_of_its_keys_and_values(monkeypatch):
    model = vicuna()
    assert bytes_per_token(model) == 2 * 32 * 4096 * 4  # 1 MiB in single precision
    assert bytes_per_token(model.bfloat16()) == 2**19
    assert bytes_per_token(vicuna(num_key_value_heads=8)) == 2**18
    assert bytes_per_token(vicuna(head_dim=64)) == 2**19
    one = 2 * bytes_per_row(model, 50, 256)
    assert 2 * 306 * 2**19 <= one <= 2.5 * 306 * 2**19  # with its unconditional row
    assert 30 < 100 * one / 2**30 < 40  # what a round of 100 at once took, whatever the device had
    monkeypatch.setattr(cache_memory, "free_memory", lambda device: 24 * 2**30)
    assert batch_size(model, 50, 256, rows=2) == int(0.8 * 24 * 2**30 / one) < 100
    assert batch_size(model, 50, 256) == int(0.8 * 24 * 2**30 / (one / 2))
    assert batch_size(model, 2000, 256) < batch_size(model, 50, 256)
    monkeypatch.setattr(cache_memory, "free_memory", lambda device: 0)
    assert (
        batch_size(model, 50, 256, rows=2) == batch_size(model, 50, 64) == 1
    )  # which says for itself that it fails


def test_free_memory_of_a_machine_is_plausible():
    assert 2**20 < free_memory(torch.device("cpu")) < 2**50


@pytest.mark.parametrize(
    ("meminfo", "free"),
    [("MemTotal: 9 kB\nMemFree: 5 kB\n", 5120), ("MemFree: 5 kB\nMemAvailable: 7 kB\n", 7168)],
)
def test_free_memory_falls_back_where_meminfo_lacks_lines(meminfo, free, tmp_path, monkeypatch):
    monkeypatch.setattr(device, "MEMINFO", tmp_path / "meminfo")
    device.MEMINFO.write_text(meminfo)
    assert free_memory(torch.device("cpu")) == free
    device.MEMINFO.write_text("nothing\n")
    assert free_memory(torch.device("cpu")) > 2**20


@pytest.mark.parametrize("most", [1, 2, 3])
def test_images_and_answers_do_not_depend_on_the_batch_size(most, monkeypatch):
    model = perturb(make_tiny_illume())
    torch.manual_seed(0)
    images = torch.randint(0, 256, (4, 3, 48, 48), dtype=torch.uint8)
    documents = [draw_document("a red circle"), edit_document(images[0], "make it blue")]
    documents += [draw_document("what colour"), edit_document(images[1], "draw a star")]
    nulls = [draw_document(None), edit_document(images[0], None), draw_document(None)]
    nulls += [edit_document(images[1], None)]
    prompts, nulls = model.encode_prompts(documents), model.encode_prompts(nulls)
    rows = zip([1.0, 2.0, 3.0, 1.0], [1.0, 0.0, 0.7, 0.5], strict=True)
    settings = [SamplingConfig(cfg, temperature, 7, 0.9) for cfg, temperature in rows]

    def draw():
        return drawing.draw_codes(model.language, prompts, nulls, [1, 2, 3, 4], settings)

    def answer():
        return model.understand([describe_document(image) for image in images], limit=12)

    codes, answers, sizes = draw(), answer(), []
    decode = drawing._decode
    monkeypatch.setattr(drawing, "_decode", lambda *given: sizes.append(given[-1].shape[1]) or decode(*given))
    monkeypatch.setattr(drawing, "batch_size", lambda *_: most)
    monkeypatch.setattr(text_generation, "batch_size", lambda *_: most)
    assert torch.equal(draw(), codes) and max(sizes) == most and sum(sizes) == 4
    assert answer() == answers
