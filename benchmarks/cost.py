"""Seconds an image as batch, tokens and model grow: `python -m benchmarks.cost [--json] [--svg FILE]`.

Seconds for one image of a batch that is drawn under guidance, beside the least that the hardware would allow (bytes over
bandwidth or operations over rate, measured in the same run). `--size 7b` draws with a Llama of Vicuna-7B's size instead:

    python -m benchmarks.cost --size 7b --device cuda --dtype bfloat16 --batches 1 8 64
"""

import statistics
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.drawing import CFG, PROMPT, TEXT
from benchmarks.harness import run, seconds
from benchmarks.language_models import CODES, LARGE, SEVEN_B, SMALL, Size, llama, random_model, text_segment
from benchmarks.roofline import decode_work
from common.files import write_text
from evals.reports.plot import COLOURS, SOFT, new_figure, svg_text
from models.generation import SamplingConfig
from models.language.drawing import draw_codes

BATCHES = (1, 2, 4, 8, 16, 32)
TOKENS = (64, 144, 256, 576)
MODELS: tuple[Size, ...] = ((128, 4, 344), SMALL, (384, 8, 1032), LARGE)
BATCH, COUNT = 8, 256  # what is constant while something else grows


def cost(size: Size, batch: int, tokens: int, rounds: int, device: str, dtype: torch.dtype) -> dict[str, Any]:
    """Seconds of one image, and what the hardware would allow."""
    model = random_model(llama(*size), TEXT, CODES, 64, tokens, device, dtype).eval().requires_grad_(False)
    prompts = [text_segment(torch.randint(3, TEXT, (PROMPT,)).tolist()) for _ in range(batch)]
    nulls, seeds = [text_segment([1] * PROMPT)] * batch, list(range(batch))

    def draw() -> torch.Tensor:
        return draw_codes(model, prompts, nulls, seeds, SamplingConfig(CFG)).cpu()

    spent = [seconds(draw) for _ in range(rounds + 1)]
    work = decode_work(model, 2 * batch, batch, CODES, PROMPT, tokens, dtype.itemsize)
    found = work.roofline(statistics.median(spent[1:]), device, dtype)
    return {
        "seconds_an_image": float(f"{found['seconds'] / batch:.4g}"),
        "allowed_an_image": float(f"{found['allowed_seconds'] / batch:.4g}"),
        "codes_per_second": round(batch * tokens / found["seconds"]),
        **{name: found[name] for name in ("bound_by", "share", "gib_per_second", "gflop_per_second")},
    }


def parameters(size: Size) -> int:
    """Numbers in a trunk's matrices and the codes' rows of the head."""
    width, layers, mlp_width = size
    return layers * (4 * width * width + 3 * width * mlp_width) + CODES * width


def plot_costs(found: dict[str, Any]) -> str:
    """The curves as SVG on logarithmic axes, each above the line that the hardware would allow."""
    labels = {"batch": "images at once", "tokens": "tokens in an image", "parameters": "parameters"}
    styles = {
        "measured": {"color": COLOURS["a"], "marker": "o"},
        "allowed": {"color": SOFT, "linestyle": "--"},
    }
    figure, panels = new_figure(len(found), width=270, height=290, share_y=True)
    for axes, (name, curve) in zip(panels, found.items(), strict=True):
        for kind, style in styles.items():
            costs = [at[f"{'seconds' if kind == 'measured' else kind}_an_image"] for at in curve.values()]
            axes.loglog(list(curve), costs, label=kind, markersize=5, gid=f"{name} {kind}", **style)
        axes.set_xlabel(labels[name])
    panels[0].set_ylabel("seconds an image")
    panels[0].legend()
    return svg_text(figure)


def measure(
    rounds: int = 3,
    size: Literal["small", "7b"] = "small",
    batches: tuple[int, ...] = BATCHES,
    tokens: tuple[int, ...] = TOKENS,
    device: str = "cpu",
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    svg: Path | None = None,
) -> dict[str, Any]:
    """The curves, by what grows in them.

    Args:
        rounds: drawings that are timed.
        size: of the model; of 7b, the batch alone grows.
        batches: images at once.
        tokens: of an image.
        device: to draw on.
        dtype: of the weights.
        svg: file for the curves.
    """
    how = (rounds, device, getattr(torch, dtype))
    found = {"batch": {b: cost(SEVEN_B if size == "7b" else SMALL, b, COUNT, *how) for b in batches}}
    if size == "small":
        found["tokens"] = {n: cost(SMALL, BATCH, n, *how) for n in tokens}
        found["parameters"] = {parameters(one): cost(one, BATCH, COUNT, *how) for one in MODELS}
    if svg is not None:
        write_text(svg, plot_costs(found))
    return found | {"device": device}


if __name__ == "__main__":
    run(measure, "transformers")
