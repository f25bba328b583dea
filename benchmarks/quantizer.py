"""Our quantizers against `vector-quantize-pytorch`: `python -m benchmarks.quantizer [--json]`; needs the extra `bench`.

A training step of 4,096 vectors of width 32 and a codebook of 16,384 (the paper's size): forward, backward, and what
moves the codebook, by running means (`ema`) and through a learned map of a frozen one (`simvq`). Both sides start at the
same codebook; before anything is timed their codes, vectors, losses and gradients are compared. Last, both learn the
same clusters, and are asked how well they do.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.harness import alternate, run
from benchmarks.roofline import Work
from models.tokenizer.quantizer import Quantizer, QuantizerKind, perplexity

CODES, WIDTH, VECTORS = 16_384, 32, 4096
KINDS: tuple[QuantizerKind, ...] = ("ema", "simvq")
DECAY, COMMITMENT = 0.97, 0.25
CLUSTER_CODES, CLUSTERS, STEPS = 256, 512, 60  # codes, clusters and steps of the last comparison
REPEATS = 3  # steps in one measurement


class Step(NamedTuple):
    """What a training step gives: codes (M,), vectors (M, C), the loss, and the inputs' gradient (M, C)."""

    codes: Tensor
    vectors: Tensor
    loss: Tensor
    gradient: Tensor


def peer_package() -> Any:
    """The peer's package.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import vector_quantize_pytorch
    except ImportError as error:
        raise ValueError("vector-quantize-pytorch is not installed: pip install -e '.[bench]'") from error
    return vector_quantize_pytorch


def pair(kind: QuantizerKind, codes: int, width: int) -> tuple[Quantizer, nn.Module]:
    """Ours and theirs at the same codebook."""
    torch.manual_seed(0)
    ours, package = Quantizer(codes, width, kind, DECAY, COMMITMENT).train(), peer_package()
    if kind == "simvq":
        theirs = package.SimVQ(
            dim=width,
            codebook_size=codes,
            rotation_trick=False,
            input_to_quantize_commit_loss_weight=COMMITMENT,
        )
        theirs.frozen_codebook.copy_(ours.table)
        theirs.code_transform.load_state_dict(ours.map.state_dict())
        return ours, theirs.train()
    theirs = package.VectorQuantize(
        dim=width,
        codebook_size=codes,
        decay=DECAY,
        commitment_weight=COMMITMENT,
        threshold_ema_dead_code=2,  # expected hits below which a code is reborn: the package's own choice
        rotation_trick=False,
    )
    theirs._codebook.embed.copy_(ours.table[None])
    theirs._codebook.embed_avg.copy_(ours.table[None])
    theirs._codebook.cluster_size.fill_(1.0)
    ours.started.fill_(True)
    return ours, theirs.train()


def step(quantizer: nn.Module, vectors: Tensor) -> Step:
    """Forward and backward of both sides alike: each gives vectors, codes and a loss, in this order."""
    inputs = vectors[None].requires_grad_()  # (1, M, C)
    quantizer.zero_grad()
    quantized, codes, loss = quantizer(inputs)
    (gradient,) = torch.autograd.grad(quantized.square().sum() + loss, inputs, retain_graph=True)
    if any(p.requires_grad for p in quantizer.parameters()):
        loss.backward()
    return Step(codes[0], quantized[0].detach(), loss.detach().sum(), gradient[0])


def differences(own: Step, other: Step) -> dict[str, float]:
    """How far the two sides' first steps are from each other."""
    same = own.codes == other.codes
    return {
        "equal_codes": same.float().mean().item(),
        "vectors_apart": (own.vectors - other.vectors)[same].abs().max().item(),
        "loss_apart": ((own.loss - other.loss).abs() / other.loss).item(),
        "slopes_apart": ((own.gradient - other.gradient)[same].norm() / other.gradient.norm()).item(),
    }


def work(codes: int, width: int, vectors: int) -> Work:
    """What a step takes at least: every vector is compared to every code; inputs, codebook and outputs move once."""
    return Work(4 * width * (codes + 3 * vectors), 2 * vectors * codes * width)


def compare(kind: QuantizerKind, rounds: int) -> dict[str, Any]:
    """Compares both sides, a step of each first."""
    ours, theirs = pair(kind, CODES, WIDTH)
    vectors = torch.randn(VECTORS, WIDTH, generator=torch.Generator().manual_seed(1)) / WIDTH**0.5
    apart = differences(step(ours, vectors), step(theirs, vectors))

    def steps(quantizer: nn.Module) -> None:
        for _ in range(REPEATS):
            step(quantizer, vectors)

    pairs = alternate(lambda: steps(theirs), lambda: steps(ours), rounds)
    return {
        **pairs.speedup(),
        "our_seconds": round(pairs.our_median / REPEATS, 4),
        "their_seconds": round(pairs.their_median / REPEATS, 4),
        **apart,
        "roofline": work(CODES, WIDTH, VECTORS).roofline(pairs.our_median / REPEATS),
    }


def train(quantizer: nn.Module, batch: Callable[[int], Tensor], steps: int) -> dict[str, float]:
    """Trains on batches (M, C); returns the error over their variance, and how evenly codes are used."""
    trained = [p for p in quantizer.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, 1e-2) if trained else None
    for number in range(steps):
        step(quantizer, batch(number))
        if optimizer is not None:
            optimizer.step()
    held_out = batch(steps)
    with torch.no_grad():
        vectors, codes, _ = quantizer.eval()(held_out[None])
    hits = torch.bincount(codes.flatten(), minlength=CLUSTER_CODES).float()
    error = (vectors[0] - held_out).square().mean() / held_out.var()
    return {
        "error": round(error.item(), 4),
        "perplexity": round((perplexity(hits) / CLUSTER_CODES).item(), 3),
    }


def clusters(width: int, count: int) -> Callable[[int], Tensor]:
    """Batches (M, C) around the same centres, by their number."""
    centres = torch.randn(CLUSTERS, width, generator=torch.Generator().manual_seed(2))

    def batch(number: int) -> Tensor:
        generator = torch.Generator().manual_seed(1000 + number)
        which = torch.randint(CLUSTERS, (count,), generator=generator)
        return centres[which] + 0.1 * torch.randn(count, width, generator=generator)

    return batch


def measure(rounds: int = 5) -> dict[str, Any]:
    """Compares both sides, kind by kind.

    Args:
        rounds: of both sides.
    """
    found: dict[str, Any] = {}
    for kind in KINDS:
        found[kind] = compare(kind, rounds)
        ours, theirs = pair(kind, CLUSTER_CODES, WIDTH)
        ours.started.fill_(kind == "simvq")  # by running means ours begins at the first vectors that it sees
        batches = clusters(WIDTH, 2048)
        found[kind]["learned"] = {
            "ours": train(ours, batches, STEPS), "theirs": train(theirs, batches, STEPS)
        }  # fmt: skip
    return found


if __name__ == "__main__":
    run(measure, "vector-quantize-pytorch")
