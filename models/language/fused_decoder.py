"""A trunk stripped to what writing one token a row needs: its own matrix products, and a cache that never moves.

`transformers` runs a layer as a dozen modules, and its cache grows by copying; for rows of one token both cost more than
the products do. Here a layer is fifteen operations, and keys and values are laid down in buffers that were made once.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.language.packed_linear import Addition, Product, addition, normed

FAMILIES = ("LlamaModel", "MistralModel", "Qwen2Model", "Qwen3Model")
ROTARIES = ("default", "linear", "llama3", "yarn")  # whose angles do not depend on how long the text becomes
SMALL = 2**28  # parameters up to which products are joined and laid out anew, at the price of a copy of them


def can_fuse(trunk: nn.Module) -> bool:
    """Whether a trunk computes nothing but what `FusedDecoder` does; one with LoRA, for example, does more."""
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


def may_copy_weights(trunk: nn.Module) -> bool:
    """Whether there is room for a copy of a trunk's weights."""
    return sum(p.numel() for p in trunk.parameters()) <= SMALL


@dataclass
class Layer:
    """One layer's products, the norms before them taken in, those of one input joined where the trunk is small."""

    qkv: Product
    heads_norm: tuple[Tensor, Tensor] | None
    out: Addition
    gate_up: Product
    down: Addition


class FusedDecoder:
    """Writes on from what a trunk has read: (R, D) in, (R, D) out, one token a row.

    Args:
        trunk: a model of one of FAMILIES, as `can_fuse` finds it.
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
        copied = may_copy_weights(trunk)
        self.layers = [_lay_out(layer, self.eps, copied) for layer in trunk.layers]
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
        turn, mask = self._turn(), self._mask()
        for layer, keys, values in zip(self.layers, self.keys, self.values, strict=True):
            hidden = self._attend(layer, hidden, keys, values, turn, mask)
            gate, up = layer.gate_up(hidden).chunk(2, -1)
            hidden = layer.down(hidden, F.silu(gate) * up)
        self._next()
        return _norm(hidden, self.norm, self.eps)

    def _turn(self) -> tuple[Tensor, Tensor]:
        """Cosines and sines (R, 1, d) of the token's position."""
        return self.cos[self.written], self.sin[self.written]

    def _mask(self) -> Tensor | None:
        """(R, 1, 1, n) what may be looked at."""
        return None if self.mask is None else self.mask[..., : self.filled + self.written + 1]

    def _keep(self, buffer: Tensor, new: Tensor) -> Tensor:
        """Lays what is new (R, H, d) down behind what is there, and gives all of it, (R, H, n, d)."""
        there = buffer[:, :, : self.filled + self.written + 1]
        there[:, :, -1] = new
        return there

    def _next(self) -> None:
        self.written += 1

    def _attend(
        self,
        layer: Layer,
        hidden: Tensor,
        keys: Tensor,
        values: Tensor,
        turn: tuple[Tensor, Tensor],
        mask: Tensor | None,
    ) -> Tensor:
        """Attention of one token a row; its key and value go into the buffers (R, H, L + room, d)."""
        (cos, sin), rows = turn, len(hidden)
        half = cos.shape[-1] // 2
        made = layer.qkv(hidden).view(rows, -1, 2 * half)  # (R, Hq + 2 Hk, d)
        turned, value = made.split([self.heads + self.key_heads, self.key_heads], 1)
        if layer.heads_norm is not None:
            query, key = turned.split([self.heads, self.key_heads], 1)
            own, others = layer.heads_norm
            turned = torch.cat([_norm(query, own, self.eps), _norm(key, others, self.eps)], 1)
        turned = torch.addcmul(turned * cos, turned.roll(half, -1), sin)
        seen = F.scaled_dot_product_attention(
            turned[:, : self.heads, None],
            self._keep(keys, turned[:, self.heads :]),
            self._keep(values, value),
            mask,
            scale=self.scale,
            enable_gqa=self.heads != self.key_heads,
        )
        return layer.out(hidden, seen.reshape(rows, -1))


def _with_room(cached: Tensor, room: int) -> Tensor:
    """(R, H, L, d) -> (R, H, L + room, d), whose end is to be written."""
    rows, heads, length, width = cached.shape
    buffer = cached.new_empty(rows, heads, length + room, width)
    buffer[:, :, :length] = cached
    return buffer


def _lay_out(layer: nn.Module, eps: float, copied: bool) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp

    def after(norm: nn.Module, *linears: nn.Linear) -> Product:
        return normed(norm.weight, eps, [m.weight for m in linears], [m.bias for m in linears], copied)

    norms = (attention.q_norm.weight, attention.k_norm.weight) if hasattr(attention, "q_norm") else None
    return Layer(
        qkv=after(layer.input_layernorm, attention.q_proj, attention.k_proj, attention.v_proj),
        heads_norm=norms,
        out=addition(attention.o_proj.weight, attention.o_proj.bias, copied),
        gate_up=after(layer.post_attention_layernorm, mlp.gate_proj, mlp.up_proj),
        down=addition(mlp.down_proj.weight, mlp.down_proj.bias, copied),
    )


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, weight.shape, weight, eps)
