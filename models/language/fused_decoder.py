"""A trunk stripped to what decoding one token a row needs: its own matrix products, and a cache that never moves.

`transformers` runs a layer as a dozen modules, and its cache grows by copying; for rows of one token both cost more than
the products do. Here a layer is fifteen operations, and keys and values are written to buffers that never grow.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.language.packed_linear import AddLinear, Linear, packed_add_linear, packed_norm_linear

FAMILIES = ("LlamaModel", "MistralModel", "Qwen2Model", "Qwen3Model")
ROPE_TYPES = ("default", "linear", "llama3", "yarn")  # whose angles do not depend on the length of the text
MAX_COPIED = 2**28  # parameters up to which products are joined and packed, at the price of a copy of them


def can_fuse(trunk: Any) -> bool:
    """Whether a trunk computes nothing but what `FusedDecoder` does; one with LoRA, for example, does more."""
    config = trunk.config
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    if type(trunk).__name__ not in FAMILIES or getattr(config, "hidden_act", "") != "silu":
        return False
    if rope.get("rope_type", "default") not in ROPE_TYPES or rope.get("partial_rotary_factor", 1.0) != 1.0:
        return False
    if set(kinds) != {"full_attention"} or (windowed and type(trunk).__name__ == "MistralModel"):
        return False
    named = [pair for own in trunk.layers for pair in own.named_modules() if pair[0].endswith("_proj")]
    return all(type(module) is nn.Linear for _, module in named)


def may_copy_weights(trunk: nn.Module) -> bool:
    """Whether there is room for a copy of a trunk's weights."""
    return sum(p.numel() for p in trunk.parameters()) <= MAX_COPIED


class Prefix(NamedTuple):
    """What a trunk has run through."""

    keys: list[Tensor]  # (R, H, L, d) of each layer
    values: list[Tensor]
    real: Tensor  # (R, L) which of them may be attended to
    positions: Tensor  # (R,) of the next token


class Layer(NamedTuple):
    """One layer's products, the norms before them taken in, those of one input joined where the trunk is small."""

    qkv: Linear
    heads_norm: tuple[Tensor, Tensor] | None
    out: AddLinear
    gate_up: Linear
    down: AddLinear


class FusedDecoder:
    """Decodes up to `room` tokens a row on from a prefix, with the weights of a trunk that `can_fuse`."""

    def __init__(self, trunk: Any, prefix: Prefix, room: int) -> None:
        config, real = trunk.config, prefix.real
        self.heads, self.key_heads = config.num_attention_heads, config.num_key_value_heads
        self.eps, self.scale = config.rms_norm_eps, trunk.layers[0].self_attn.scaling
        self.norm = trunk.norm.weight
        copied = may_copy_weights(trunk)
        self.layers = [_fuse(layer, self.eps, copied) for layer in trunk.layers]
        self.keys = [F.pad(own, (0, 0, 0, room)) for own in prefix.keys]
        self.values = [F.pad(own, (0, 0, 0, room)) for own in prefix.values]
        self.filled = real.shape[1]
        self.written: Any = 0  # a tensor in a CUDA graph
        like = prefix.keys[0]
        self.mask: Tensor | None = None  # (R, 1, 1, L + room)
        if not bool(real.all()):
            hidden = like.new_zeros(real.shape).masked_fill(~real, torch.finfo(like.dtype).min)
            self.mask = F.pad(hidden, (0, room))[:, None, None]
        steps = prefix.positions[:, None] + torch.arange(room, device=real.device)  # (R, room)
        cos, sin = trunk.rotary_emb(like, steps)  # (R, room, d)
        half = cos.shape[-1] // 2
        sin = torch.cat([-sin[..., :half], sin[..., half:]], -1)  # so that turning half around is a roll
        self.cos, self.sin = (own.transpose(0, 1)[:, :, None].contiguous() for own in (cos, sin))

    def step(self, hidden: Tensor) -> Tensor:
        """Embedded tokens (R, D) -> last hidden states (R, D)."""
        rotation, mask = self._rotation(), self._visible()
        for layer, keys, values in zip(self.layers, self.keys, self.values, strict=True):
            hidden = self._attend(layer, hidden, keys, values, rotation, mask)
            gate, up = layer.gate_up(hidden).chunk(2, -1)
            hidden = layer.down(hidden, F.silu(gate) * up)
        self.written += 1
        return _norm(hidden, self.norm, self.eps)

    def _rotation(self) -> tuple[Tensor, Tensor]:
        """Cosines and sines (R, 1, d) of the token's position."""
        return self.cos[self.written], self.sin[self.written]

    def _visible(self) -> Tensor | None:
        """(R, 1, 1, n) additive mask of the keys that `_store` gives."""
        return None if self.mask is None else self.mask[..., : self.filled + self.written + 1]

    def _store(self, buffer: Tensor, new: Tensor) -> Tensor:
        """Writes what is new (R, H, d) behind what is there, and gives all of it, (R, H, n, d)."""
        there = buffer[:, :, : self.filled + self.written + 1]
        there[:, :, -1] = new
        return there

    def _attend(
        self,
        layer: Layer,
        hidden: Tensor,
        keys: Tensor,
        values: Tensor,
        rotation: tuple[Tensor, Tensor],
        mask: Tensor | None,
    ) -> Tensor:
        """Attention of one token a row; its key and value go into the buffers (R, H, L + room, d)."""
        (cos, sin), rows = rotation, len(hidden)
        half = cos.shape[-1] // 2
        qkv = layer.qkv(hidden).view(rows, -1, 2 * half)  # (R, Hq + 2 Hk, d)
        rotated, value = qkv.split([self.heads + self.key_heads, self.key_heads], 1)
        if layer.heads_norm is not None:
            query, key = rotated.split([self.heads, self.key_heads], 1)
            own, others = layer.heads_norm
            rotated = torch.cat([_norm(query, own, self.eps), _norm(key, others, self.eps)], 1)
        rotated = torch.addcmul(rotated * cos, rotated.roll(half, -1), sin)
        seen = F.scaled_dot_product_attention(
            rotated[:, : self.heads, None],
            self._store(keys, rotated[:, self.heads :]),
            self._store(values, value),
            mask,
            scale=self.scale,
            enable_gqa=self.heads != self.key_heads,
        )
        return layer.out(hidden, seen.reshape(rows, -1))


def _fuse(layer: Any, eps: float, copied: bool) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp

    def after(norm: Any, *linears: nn.Linear) -> Linear:
        weights, biases = [own.weight for own in linears], [own.bias for own in linears]
        return packed_norm_linear(norm.weight, eps, weights, biases, copied)

    norms = (attention.q_norm.weight, attention.k_norm.weight) if hasattr(attention, "q_norm") else None
    return Layer(
        qkv=after(layer.input_layernorm, attention.q_proj, attention.k_proj, attention.v_proj),
        heads_norm=norms,
        out=packed_add_linear(attention.o_proj.weight, attention.o_proj.bias, copied),
        gate_up=after(layer.post_attention_layernorm, mlp.gate_proj, mlp.up_proj),
        down=packed_add_linear(mlp.down_proj.weight, mlp.down_proj.bias, copied),
    )


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, weight.shape, weight, eps)
