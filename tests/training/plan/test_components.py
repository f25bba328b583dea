"""Every recipe of the paper's scale on the meta device: published numbers of parameters, and table 5's parts."""

import functools
import resource

import pytest

import train
from training.plan.components import component_sizes
from training.plan.plan import configure

VICUNA = 6_738_415_616
QWEN = 3_085_938_688 + 151_936 * 2048  # Qwen2.5-3B, whose head is its embedding; here they part
VIT_H = 632_076_800 - 1280 * 1024 - 2 * 1280  # OpenCLIP's, without what pools for the text tower
SDXL, VAE = 2_567_463_684, 83_653_863
ROWS = 16_384 + 7  # codes and special tokens
UNUSED = (
    64 * 320 * 9
)  # weights of the UNet's first convolution, for the condition that is laid beside the latents


@functools.cache
def counts(recipe, *more):
    """Parameters by part, and those of them that learn."""
    sketch = train.build_modules(["--config", f"illume_{recipe}.yaml", *more])
    configure(sketch, train.build_modules)
    assert all(p.is_meta for p in sketch.model.parameters())
    sizes = component_sizes(sketch.model)
    assert sum(size.count for size in sizes) == sum(p.numel() for p in sketch.model.parameters())
    return {size.name: (size.count, size.learning) for size in sizes}


@pytest.mark.parametrize(
    ("size", "stage"),
    [("7b", "stage1"), ("7b", "stage2"), ("7b", "stage3"), ("3b", "stage1"), ("3b", "stage3")],
)
def test_language_stages_learn_what_table_5_says(size, stage):
    text, width = {"7b": (VICUNA, 4096), "3b": (QWEN, 2048)}[size]
    found = counts(f"{size}/{stage}")
    pieces = {"7b": 32_000, "3b": 151_665}[size]
    padding = {"7b": 0, "3b": 2 * (151_936 - pieces) * width}[size]  # rows past the tokenizer's are left out
    learns = {name for name, (_, learning) in found.items() if learning}
    language, adapter = {"trunk", "text"}, {"adapter", "vision"}
    assert (
        learns
        == {
            "stage1": adapter,
            "stage2": adapter | language,
            "stage3": adapter | language | {"understanding_encoder"},
        }[stage]
    )
    assert all(learning in (0, count) for count, learning in found.values())
    assert found["trunk"][0] + found["text"][0] == text - padding
    assert found["text"][0] == 2 * pieces * width and found["vision"][0] == 2 * ROWS * width
    assert found["adapter"][0] == 1280 * width + width + width * width + width
    assert found["encoder"] == (VIT_H, 0) and found["tokenizer"][1] == 0
    assert found.get("understanding_encoder", (VIT_H, VIT_H)) == (VIT_H, VIT_H)


def test_image_stages_learn_tokenizer_and_unet():
    assert counts("7b/tokenizer")["encoder"] == (VIT_H, 0)
    whole, learning = counts("7b/tokenizer")["tokenizer"]
    assert whole == learning == counts("7b/stage1")["tokenizer"][0]
    found = counts("7b/detokenizer")
    assert found["unet"] == (SDXL + UNUSED, SDXL + UNUSED) and found["vae"] == (VAE, 0)
    assert found["encoder"][1] == found["tokenizer"][1] == 0
    some = counts("7b/detokenizer", "--model.init_args.learns", "attention")["unet"]
    assert some[0] == SDXL + UNUSED and 0 < some[1] < 0.4 * some[0]


def test_low_rank_additions_learn_in_the_trunks_place():
    pytest.importorskip("peft")
    found = counts("7b/stage2", "--config", "lora.yaml")
    inside = 4 * (4096 + 4096) + 3 * (4096 + 11_008)  # of seven matrices of a layer
    assert found["trunk"] == (64 * inside * 32,) * 2
    assert found["trunk (frozen)"] == (VICUNA - 2 * 32_000 * 4096, 0)
    assert found["text"][1] == 0 and found["adapter"][1] > 0 and found["vision"][1] > 0


def test_memory_hardly_grows():
    counts("7b/tokenizer")  # what is imported by then is no part of it
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts("7b/stage3", "--trainer.devices", "2")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    assert grown < 0.3  # GiB, of 31 that its weights are in single precision
