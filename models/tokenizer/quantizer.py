"""Vector quantizers: features to the nearest code, with a straight-through gradient.

`ema` moves each code to the running mean of its inputs; `simvq` learns one linear map of a frozen Gaussian
codebook (ILLUME+ section 3: 100% of the codes used); `plain` is the gradient-trained codebook that ILLUME+'s table 8
found to collapse, kept for comparison. Dead codes are reborn at random inputs (`ema` and `plain`).

Distances are computed in single precision whatever surrounds them (`models/precision.py`), and a codebook learns from the
joint batch of all ranks (`models/distributed.py`).
"""

from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.checks import check_choice
from models.distributed import all_reduce_sum, broadcast_first, sample_rows
from models.precision import FullPrecision, fixed_precision

# Distances that are computed at once: on a CPU as many as stay in a core's cache.
MAX_DISTANCES_CPU, MAX_DISTANCES = 2**18, 2**26
QuantizerKind = Literal["ema", "simvq", "plain"]


class Quantized(NamedTuple):
    """What a quantizer makes of its inputs."""

    vectors: Tensor  # (B, N, C) with a straight-through gradient
    codes: Tensor  # (B, N)
    loss: Tensor  # scalar


def nearest_codes(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Index of the nearest code by L2 distance: (M, C), (K, C) -> (M,), computed in chunks."""
    squares = codebook.square().sum(1)
    limit = MAX_DISTANCES_CPU if vectors.device.type == "cpu" else MAX_DISTANCES
    chunks = vectors.split(max(1, limit // len(codebook)))
    return torch.cat([torch.addmm(squares, chunk, codebook.T, alpha=-2).argmin(1) for chunk in chunks])


def perplexity(counts: Tensor) -> Tensor:
    """exp(entropy) of code counts (K,): how many codes are in even use."""
    share = counts.float() / counts.sum().clamp_min(1)
    return torch.exp(-(share * share.clamp_min(1e-12).log()).sum())


class Quantizer(FullPrecision):
    """A codebook, and how it learns."""

    table: Tensor  # (K, C)
    usage: Tensor  # (K,) running count of each code, 1 is even use
    started: Tensor

    def __init__(
        self,
        codes: int,  # 16,384 in the paper
        width: int,  # of a code: 32 in LaVIT and ILLUME+; ILLUME's own is not published
        kind: QuantizerKind = "ema",
        decay: float = 0.97,  # of the running means (assumed; 0.99 is usual at scale)
        commitment: float = 0.25,  # weight of the commitment loss
        dead_below: float = 0.1,  # a code used less often than this share of an even use is reborn
    ) -> None:
        super().__init__()
        self.kind = check_choice(kind, get_args(QuantizerKind), "quantizer")
        self.decay, self.commitment, self.dead_below = decay, commitment, dead_below
        table = torch.randn(codes, width) / width**0.5
        if kind == "plain":
            self.table = nn.Parameter(table)
        else:
            self.register_buffer("table", table)
        self.map = nn.Linear(width, width, bias=False) if kind == "simvq" else nn.Identity()
        self.register_buffer("usage", torch.ones(codes))
        self.register_buffer("started", torch.tensor(kind == "simvq"))

    @property
    def codebook(self) -> Tensor:
        """(K, C) codes as they are compared with inputs."""
        return self.map(self.table)

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes (...) -> their vectors (..., C)."""
        return F.embedding(codes, self.codebook)

    def forward(self, inputs: Tensor) -> Quantized:
        """(B, N, C) -> the nearest codes; in training the codebook moves too."""
        with fixed_precision(inputs.device.type):
            return self._quantize(inputs.float())

    def _quantize(self, inputs: Tensor) -> Quantized:
        flat = inputs.flatten(0, -2)  # (M, C)
        if self.training and not self.started:
            self._start(flat.detach())
        with torch.no_grad():
            codes = nearest_codes(flat, self.codebook)
        vectors = self.lookup(codes)
        loss = self.commitment * F.mse_loss(flat, vectors.detach())
        if self.kind != "ema":
            loss = loss + F.mse_loss(vectors, flat.detach())
        if self.training:
            self._count(flat.detach(), codes)
        passed = flat + (vectors - flat).detach()
        return Quantized(passed.view_as(inputs), codes.view(inputs.shape[:-1]), loss)

    @torch.no_grad()
    def _start(self, flat: Tensor) -> None:
        noise = 0.01 * broadcast_first(torch.randn_like(self.table))
        self.table.copy_(sample_rows(flat, len(self.table)) + noise)
        self.started.fill_(True)

    @torch.no_grad()
    def _count(self, flat: Tensor, codes: Tensor) -> None:
        hits = all_reduce_sum(torch.bincount(codes, minlength=len(self.table)).to(flat.dtype))
        now = hits * len(self.table) / hits.sum()
        self.usage.lerp_(now, 1 - self.decay)
        if self.kind == "simvq":
            return
        if self.kind == "ema":
            sums = all_reduce_sum(torch.zeros_like(self.table).index_add_(0, codes, flat))
            batch_share = (1 - self.decay) * now / self.usage.clamp_min(1e-5)  # in the running mean
            means = torch.where(hits[:, None] > 0, sums / hits[:, None].clamp_min(1), self.table)
            self.table.lerp_(means, batch_share[:, None].clamp_max(1))
        dead = self.usage < self.dead_below
        if dead.any():
            self.table[dead] = sample_rows(flat, int(dead.sum()))
            self.usage[dead] = 1.0
