"""One training step beside the device's matrix rate: `python -m benchmarks.step [--json]`.

On a GPU, at Vicuna-7B's size:

    python -m benchmarks.step --size 7b --device cuda --dtype bfloat16 --checkpointing --json

Forward pass, loss over words and codes, backward pass and AdamW, on rows of packed documents. The share counts the
products of forward and backward pass; what checkpointing makes again takes time and counts for nothing, as in speed/mfu.
"""

import argparse
import statistics
import time
from typing import Any

import torch

from benchmarks.harness import command, made_with, show
from benchmarks.sizes import SEVEN_B, SMALL, llama
from common.errors import user_errors
from models.language.unified_lm import UnifiedLM
from models.sequence import PackedBatch, Segment, collate
from training.device_stats import reset_peak_memory, measured_flops_per_second, peak_memory
from training.flop_counter import FlopCounter

SIZES = {"small": SMALL, "7b": SEVEN_B}
TEXT, CODES, SEE, WIDTH = 32_000, 16_384, 256, 1280  # Vicuna's words, ILLUME's codes, ViT-H/14's features
RATE = 5e-5  # table 5's, of stage 2


def packed(tokens: int, documents: int, rows: int) -> PackedBatch:
    """Rows (B, L) of as many documents each, of equal length, whose words are all learned."""
    generator, length = torch.Generator().manual_seed(0), tokens // documents
    segments = []
    for _ in range(rows * documents):
        segment = Segment()
        segment.add(torch.randint(3, TEXT, (length,), generator=generator).tolist(), learn=True)
        segments.append(segment)
    layout = [list(range(row * documents, (row + 1) * documents)) for row in range(rows)]
    return collate(segments, layout, tokens, 0)


def model_of(size: tuple[int, int, int], device: str, dtype: torch.dtype, checkpointing: bool) -> UnifiedLM:
    """A language model with random weights, all of which learn."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = UnifiedLM(llama(*size, positions=8192), TEXT, CODES, WIDTH, SEE, SEE)
    finally:
        torch.set_default_dtype(before)
    if checkpointing:
        model.trunk.activation_checkpointing_enable({"use_reentrant": False})
    return model.train()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a step, its operations, and their share of what the device can multiply."""
    dtype, device = getattr(torch, options.dtype), torch.device(options.device)
    model = model_of(SIZES[options.size], options.device, dtype, options.checkpointing)
    batch = packed(options.tokens, options.documents, options.rows).to(device)
    nothing = torch.zeros(0, SEE, WIDTH, device=device, dtype=dtype)
    codes = torch.zeros(0, SEE, dtype=torch.long, device=device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=device.type != "cpu")
    reset_peak_memory(device)
    spent, operations = [], 0
    for number in range(options.rounds + 2):  # the first counts, the second warms up
        begin = time.perf_counter()
        if number:
            loss = model.loss(batch, nothing, codes).mean
        else:
            with FlopCounter() as counter:
                loss = model.loss(batch, nothing, codes).mean
            operations = counter.operations
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found = loss.item()  # waits for the device
        spent.append(time.perf_counter() - begin)
    memory = peak_memory(device)
    seconds, rate = statistics.median(spent[2:]), measured_flops_per_second(device, dtype)
    return {
        "share_of_matrix_rate": float(f"{operations / seconds / rate:.4g}"),
        "seconds": float(f"{seconds:.4g}"),
        "tokens_per_second": round(batch.ids.numel() / seconds),
        "tflop": float(f"{operations / 1e12:.4g}"),
        "tflop_per_second_of_a_product": float(f"{rate / 1e12:.4g}"),
        "parameters": sum(p.numel() for p in model.parameters()),
        "peak_gib": round(memory, 2),
        "loss": found,
    }


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = command("step", __doc__)
    parser.add_argument("--size", choices=tuple(SIZES), default="small", help="default: %(default)s")
    parser.add_argument("--tokens", type=int, default=4096, help="of a row (default: %(default)s)")
    parser.add_argument("--documents", type=int, default=8, help="of a row (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--checkpointing", action="store_true", help="keep activations by layer alone")
    options = parser.parse_args(arguments)
    with user_errors("benchmarks.step"):
        if not 1 <= options.documents <= options.tokens:
            raise ValueError(f"--documents is between 1 and --tokens, not {options.documents}")
        found = measure(options)
    show(found | made_with("transformers") | {"device": options.device, "dtype": options.dtype}, options.json)


if __name__ == "__main__":
    main()
