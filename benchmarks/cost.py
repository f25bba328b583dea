"""What an image costs as batch, tokens and model grow: `python -m benchmarks.cost [--json] [--svg FILE]`.

Seconds for one image of a batch that is drawn under guidance, beside the least that the hardware would allow (bytes over
bandwidth or operations over rate, measured in the same run). `--size 7b` draws with a Llama of Vicuna-7B's size instead:

    python -m benchmarks.cost --size 7b --device cuda --dtype bfloat16 --batches 1 8 64
"""

import argparse
import statistics
import time
from typing import Any

import torch

from benchmarks.drawing import CFG, CODES, PROMPT, TEXT
from benchmarks.harness import command, made_with, show
from benchmarks.log_plot import Series, panels
from benchmarks.model_work import writing
from benchmarks.sizes import LARGE, SEVEN_B, SMALL, llama
from common.files import write_text
from common.paths import user_path
from models.generation import SamplingConfig
from models.language.drawing import draw_codes
from models.language.unified_lm import UnifiedLM
from models.sequence import Segment

BATCHES = (1, 2, 4, 8, 16, 32)
TOKENS = (64, 144, 256, 576)
MODELS = ((128, 4, 344), SMALL, (384, 8, 1032), LARGE)
BATCH, COUNT = 8, 256  # what stands still while something else grows


def seconds_of(
    size: tuple[int, int, int], batch: int, tokens: int, rounds: int, device: str, dtype: torch.dtype
) -> dict[str, Any]:
    """What one image costs, and what it would at least."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = UnifiedLM(llama(*size), TEXT, CODES, 64, tokens, tokens).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)
    prompts = [_words(torch.randint(3, TEXT, (PROMPT,)).tolist()) for _ in range(batch)]
    nulls, nothing = [_words([1] * PROMPT)] * batch, torch.zeros(0, tokens, 64, device=device, dtype=dtype)
    spent = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        draw_codes(model, prompts, nulls, nothing, nothing, list(range(batch)), SamplingConfig(CFG)).cpu()
        spent.append(time.perf_counter() - start)
    work = writing(model, 2 * batch, batch, CODES, PROMPT, tokens, width=dtype.itemsize)
    found = work.beside(statistics.median(spent[1:]), device, dtype)
    return {
        "seconds_an_image": float(f"{found['seconds'] / batch:.4g}"),
        "allowed_an_image": float(f"{found['allowed_seconds'] / batch:.4g}"),
        "codes_per_second": round(batch * tokens / found["seconds"]),
        **{name: found[name] for name in ("bound_by", "share", "gib_per_second", "gflop_per_second")},
    }


def _words(ids: list[int]) -> Segment:
    segment = Segment()
    segment.add(ids)
    return segment


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The curves, by what grows in them."""
    how = (options.rounds, options.device, getattr(torch, options.dtype))
    if options.size == "7b":
        return {"batch": {b: seconds_of(SEVEN_B, b, COUNT, *how) for b in options.batches}}
    return {
        "batch": {b: seconds_of(SMALL, b, COUNT, *how) for b in options.batches},
        "tokens": {n: seconds_of(SMALL, BATCH, n, *how) for n in options.tokens},
        "parameters": {parameters(size): seconds_of(size, BATCH, COUNT, *how) for size in MODELS},
    }


def parameters(size: tuple[int, int, int]) -> int:
    """Numbers in a trunk's matrices and the codes' rows of the head."""
    width, layers, between = size
    return layers * (4 * width * width + 3 * width * between) + CODES * width


def drawn(found: dict[str, Any]) -> str:
    """The curves as SVG, each above the line that the hardware would allow."""
    labels = {"batch": "images at once", "tokens": "tokens in an image", "parameters": "parameters"}
    series = {
        labels[name]: [
            Series("measured", [(float(x), at["seconds_an_image"]) for x, at in curve.items()]),
            Series("allowed", [(float(x), at["allowed_an_image"]) for x, at in curve.items()]),
        ]
        for name, curve in found.items()
    }
    return panels(series, "seconds an image")


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = command("cost", __doc__, rounds=3)
    parser.add_argument("--size", choices=("small", "7b"), default="small", help="default: %(default)s")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help="default: %(default)s")
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS, help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--svg", type=user_path, metavar="FILE", help="where to draw the curves")
    options = parser.parse_args(arguments)
    found = measure(options)
    if options.svg is not None:
        write_text(options.svg, drawn(found))
    show(found | made_with("transformers") | {"device": options.device}, options.json)


if __name__ == "__main__":
    main()
