"""One training step beside the device's matrix rate: `python -m benchmarks.step [--json]`.

On a GPU, at Vicuna-7B's size:

    python -m benchmarks.step --size 7b --device cuda --dtype bfloat16 --checkpointing --json

Forward pass, loss over text and codes, backward pass and AdamW, on rows of packed documents. The share counts the
products of forward and backward pass; what checkpointing recomputes takes time and is not counted, as in speed/mfu.
"""

import time
from statistics import median
from typing import Any, Literal

import torch

from benchmarks.harness import run
from benchmarks.language_models import CODES, SIZES, TEXT, llama, random_model, text_segment
from models.sequence import PackedBatch, collate
from training.device_stats import measured_flops_per_second, peak_memory, reset_peak_memory
from training.flop_counter import FlopCounter

IMAGE, FEATURES = 256, 1280  # tokens of an image, ViT-H/14's features
LEARNING_RATE = 5e-5  # table 5's, of stage 2


def packed(tokens: int, documents: int, rows: int) -> PackedBatch:
    """Rows (B, L) of as many documents each, of equal length, whose text is all learned."""
    generator, length = torch.Generator().manual_seed(0), tokens // documents
    segments = [
        text_segment(torch.randint(3, TEXT, (length,), generator=generator).tolist(), learn=True)
        for _ in range(rows * documents)
    ]
    layout = [list(range(row * documents, (row + 1) * documents)) for row in range(rows)]
    return collate(segments, layout, tokens, 0)


def measure(
    rounds: int = 5,
    size: Literal["small", "7b"] = "small",
    tokens: int = 4096,
    documents: int = 8,
    rows: int = 1,
    device: str = "cpu",
    dtype: Literal["float32", "bfloat16"] = "float32",
    checkpointing: bool = False,
) -> dict[str, Any]:
    """Seconds of a step, its operations, and their share of the device's rate.

    Args:
        rounds: steps that are timed.
        size: of the model.
        tokens: of a row.
        documents: of a row.
        rows: of a batch.
        device: to train on.
        dtype: of weights and activations.
        checkpointing: recompute activations within a layer.
    """
    if not 1 <= documents <= tokens:
        raise ValueError(f"--documents is between 1 and --tokens, not {documents}")
    place, kind = torch.device(device), getattr(torch, dtype)
    trunk = llama(*SIZES[size], positions=8192)
    model = random_model(trunk, TEXT, CODES, FEATURES, IMAGE, device, kind).train()
    if checkpointing:
        model.trunk.activation_checkpointing_enable({"use_reentrant": False})
    batch = packed(tokens, documents, rows).to(place)
    features = torch.zeros(0, IMAGE, FEATURES, device=place, dtype=kind)
    codes = torch.zeros(0, IMAGE, dtype=torch.long, device=place)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=place.type != "cpu")
    reset_peak_memory(place)
    spent, operations = [], 0
    for number in range(rounds + 2):  # the first counts, the second warms up
        begin = time.perf_counter()
        if number:
            loss = model.loss(batch, features, codes).mean
        else:
            with FlopCounter() as counter:
                loss = model.loss(batch, features, codes).mean
            operations = counter.flops
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        final = loss.item()  # waits for the device
        spent.append(time.perf_counter() - begin)
    memory = peak_memory(place)
    seconds, rate = median(spent[2:]), measured_flops_per_second(place, kind)
    return {
        "share_of_matrix_rate": float(f"{operations / seconds / rate:.4g}"),
        "seconds": float(f"{seconds:.4g}"),
        "tokens_per_second": round(batch.ids.numel() / seconds),
        "tflop": float(f"{operations / 1e12:.4g}"),
        "tflop_per_second_of_a_product": float(f"{rate / 1e12:.4g}"),
        "parameters": sum(p.numel() for p in model.parameters()),
        "peak_gib": round(memory, 2),
        "loss": final,
        "device": device,
        "dtype": dtype,
    }


if __name__ == "__main__":
    run(measure, "transformers")
