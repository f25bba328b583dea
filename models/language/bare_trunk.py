"""A trunk stripped to what writing one token a row needs: its own matrix products, and a cache that never moves.

`transformers` runs a layer as a dozen modules, and its cache grows by copying; for rows of one token both cost more than
the products do. Here a layer is fifteen operations, and keys and values are laid down in buffers that were made once.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FAMILIES = ("LlamaModel", "MistralModel", "Qwen2Model", "Qwen3Model")
ROTARIES = ("default", "linear", "llama3", "yarn")  # whose angles do not depend on how long the text becomes
SMALL = 2**28  # parameters up to which products are joined, at the price of a copy of them


def is_bare(trunk: nn.Module) -> bool:
    """Whether a trunk computes nothing but what `BareTrunk` does; one with LoRA, for example, does more."""
    config = trunk.config
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    if type(trunk).__name__ not in FAMILIES or getattr(config, "hidden_act", "") != "silu":
        return False
    if rope.get("rope_type", "default") not in ROTARIES or rope.get("partial_rotary_factor", 1.0) != 1.0:
        return False
    if set(kinds) != {"full_attention"} or (windowed and type(trunk).__name__ == "MistralModel"):
        return False
    parts = [part for layer in trunk.layers for part in (layer.self_attn, layer.mlp)]
    linears = [m for part in parts for name, m in part.named_children() if name.endswith("_proj")]
    return all(type(linear) is nn.Linear for linear in linears)


@dataclass
class Layer:
    """One layer's weights, products of one input joined where the trunk is small."""

    before: Tensor
    qkv: list[Tensor]
    qkv_bias: list[Tensor | None]
    heads_norm: tuple[Tensor, Tensor] | None
    out: Tensor
    out_bias: Tensor | None
    after: Tensor
    gate_up: list[Tensor]
    gate_up_bias: list[Tensor | None]
    down: Tensor
    down_bias: Tensor | None


class BareTrunk:
    """Writes on from what a trunk has read: (R, D) in, (R, D) out, one token a row.

    Args:
        trunk: a model of one of FAMILIES, as `is_bare` finds it.
        keys, values: of each layer, (R, H, L, d), as the trunk left them.
        real: (R, L) which of these may be looked at.
        positions: (R,) of the next token.
        room: tokens that will be written.
    """

    def __init__(
        self,
        trunk: nn.Module,
        keys: list[Tensor],
        values: list[Tensor],
        real: Tensor,
        positions: Tensor,
        room: int,
    ) -> None:
        config = trunk.config
        self.heads, self.key_heads = config.num_attention_heads, config.num_key_value_heads
        self.eps, self.scale = config.rms_norm_eps, trunk.layers[0].self_attn.scaling
        self.norm = trunk.norm.weight
        joined = sum(p.numel() for p in trunk.parameters()) <= SMALL
        self.layers = [_lay_out(layer, joined) for layer in trunk.layers]
        self.keys = [_with_room(k, room) for k in keys]
        self.values = [_with_room(v, room) for v in values]
        self.filled = real.shape[1]
        self.mask = None
        if not bool(real.all()):
            seen = torch.cat([real, real.new_ones(len(real), room)], 1)
            hidden = torch.finfo(keys[0].dtype).min
            self.mask = torch.zeros(seen.shape, dtype=keys[0].dtype, device=real.device)
            self.mask = self.mask.masked_fill(~seen, hidden)[:, None, None]  # (R, 1, 1, L + room)
        steps = positions[:, None] + torch.arange(room, device=positions.device)  # (R, room)
        cos, sin = trunk.rotary_emb(keys[0], steps)  # (R, room, d)
        half = cos.shape[-1] // 2
        sin = torch.cat([-sin[..., :half], sin[..., half:]], -1)  # so that turning half around is a roll
        self.cos, self.sin = (part.transpose(0, 1)[:, :, None].contiguous() for part in (cos, sin))
        self.written = 0

    def step(self, hidden: Tensor) -> Tensor:
        """Embedded tokens (R, D) -> last hidden states (R, D)."""
        end = self.filled + self.written + 1
        cos, sin = self.cos[self.written], self.sin[self.written]  # (R, 1, d)
        mask = None if self.mask is None else self.mask[..., :end]
        for layer, keys, values in zip(self.layers, self.keys, self.values, strict=True):
            hidden = self._attend(layer, hidden, keys[:, :, :end], values[:, :, :end], cos, sin, mask)
            inner = _product(_norm(hidden, layer.after, self.eps), layer.gate_up, layer.gate_up_bias)
            gate, up = inner.chunk(2, -1)
            hidden = _add(hidden, F.silu(gate) * up, layer.down, layer.down_bias)
        self.written += 1
        return _norm(hidden, self.norm, self.eps)

    def _attend(
        self,
        layer: Layer,
        hidden: Tensor,
        keys: Tensor,
        values: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        """Attention of one token a row, whose key and value become the last of those (R, H, n, d)."""
        rows, half = len(hidden), cos.shape[-1] // 2
        made = _product(_norm(hidden, layer.before, self.eps), layer.qkv, layer.qkv_bias)
        made = made.view(rows, -1, 2 * half)  # (R, Hq + 2 Hk, d)
        turned, value = made.split([self.heads + self.key_heads, self.key_heads], 1)
        if layer.heads_norm is not None:
            query, key = turned.split([self.heads, self.key_heads], 1)
            own, others = layer.heads_norm
            turned = torch.cat([_norm(query, own, self.eps), _norm(key, others, self.eps)], 1)
        turned = torch.addcmul(turned * cos, turned.roll(half, -1), sin)
        keys[:, :, -1], values[:, :, -1] = turned[:, self.heads :], value
        seen = F.scaled_dot_product_attention(
            turned[:, : self.heads, None],
            keys,
            values,
            mask,
            scale=self.scale,
            enable_gqa=self.heads != self.key_heads,
        )
        return _add(hidden, seen.reshape(rows, -1), layer.out, layer.out_bias)


def _with_room(cached: Tensor, room: int) -> Tensor:
    """(R, H, L, d) -> (R, H, L + room, d), whose end is to be written."""
    rows, heads, length, width = cached.shape
    buffer = cached.new_empty(rows, heads, length + room, width)
    buffer[:, :, :length] = cached
    return buffer


def _lay_out(layer: nn.Module, joined: bool) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp
    qkv, qkv_bias = _join([attention.q_proj, attention.k_proj, attention.v_proj], joined)
    gate_up, gate_up_bias = _join([mlp.gate_proj, mlp.up_proj], joined)
    norms = (attention.q_norm.weight, attention.k_norm.weight) if hasattr(attention, "q_norm") else None
    return Layer(
        *(layer.input_layernorm.weight, qkv, qkv_bias, norms),
        *(attention.o_proj.weight, attention.o_proj.bias, layer.post_attention_layernorm.weight),
        *(gate_up, gate_up_bias, mlp.down_proj.weight, mlp.down_proj.bias),
    )


def _join(linears: list[nn.Linear], joined: bool) -> tuple[list[Tensor], list[Tensor | None]]:
    weights, biases = [m.weight for m in linears], [m.bias for m in linears]
    if not joined:
        return weights, biases
    with_bias = [b for b in biases if b is not None]
    return [torch.cat(weights)], [torch.cat(with_bias) if with_bias else None]


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, weight.shape, weight, eps)


def _product(x: Tensor, weights: list[Tensor], biases: list[Tensor | None]) -> Tensor:
    """(R, D) by several matrices, side by side."""
    made = [F.linear(x, w, b) for w, b in zip(weights, biases, strict=True)]
    return made[0] if len(made) == 1 else torch.cat(made, -1)


def _add(to: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The residual: to + x W^T + b."""
    out = torch.addmm(to, x, weight.T)
    return out if bias is None else out + bias
