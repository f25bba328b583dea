"""Prompts run through the trunk once, to be decoded token by token."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from models.attention import TokenLayout, additive_mask, attention_mask, masks_by_layer, set_attention
from models.language.cuda_graph_decoder import CudaGraphDecoder
from models.language.families import LENGTH_DEPENDENT, rotary_limit
from models.language.fused_decoder import FusedDecoder, Prefix, can_fuse
from models.language.unified_lm import UnifiedLM, positions_in_image
from models.sequence import SEE, TEXT, Segment


class Prefill:
    """A batch of prompts, each distinct one and each image that several of them begin with run through the trunk once.

    Prompts, with the features of what they see (`Illume.encode_seen`), are padded on the left; padding is never attended
    to and positions are each row's own. `last` (B, D) are the last hidden states.

    Raises:
        ValueError: a prompt is longer than rotary angles hold for.
    """

    def __init__(self, model: UnifiedLM, prompts: Sequence[Segment]) -> None:
        self.model = model
        self.cache = DynamicCache()  # whole in every layer: the config's own forgets what left a window
        self.last: Tensor
        first, rows = _unique([_key(prompt) for prompt in prompts])
        distinct = [prompts[i] for i in first]
        ends = _image_ends(distinct)
        heads, head_of = _unique([_key(own[:end]) for own, end in zip(distinct, ends, strict=True)])
        shared = all(ends) and len(heads) < len(distinct)
        starts = [distinct[i][: ends[i]] for i in heads] if shared else distinct
        empty = torch.zeros(len(starts), 0, dtype=torch.long, device=model.vision_head.device)
        self.layout = TokenLayout(empty, empty, empty, None, model.attend)  # (B, K) of all keys
        self._append(starts)
        if shared:
            self.select(head_of)
            self._append([replace(own[end:], features=[]) for own, end in zip(distinct, ends, strict=True)])
        if len(distinct) < len(rows):
            self.select(rows)

    def select(self, rows: list[int]) -> None:
        """Goes on with these rows, any of them any number of times."""
        index = torch.tensor(rows, device=self.last.device)
        self.cache.batch_select_indices(index)
        documents, see_blocks, positions = (own[index] for own in self.layout[:3])
        self.layout = TokenLayout(documents, see_blocks, positions, None, self.model.attend)
        self.last = self.last[index]

    def decoder(self, room: int, fused: bool = True, cuda_graph: bool = False) -> "Prefill | FusedDecoder":
        """What decodes up to `room` further tokens, one a row, by its `step`; settings as in `draw_codes`.

        Raises:
            ValueError: the rows would become longer than rotary angles hold for.
        """
        self._check_length(self.layout.documents.shape[1] + room)
        if not fused or not can_fuse(self.model.trunk):
            return self
        layers: Any = self.cache.layers
        real = self.layout.documents >= 0
        prefix = Prefix([own.keys for own in layers], [own.values for own in layers], real, self._next[:, 0])
        return (CudaGraphDecoder if cuda_graph else FusedDecoder)(self.model.trunk, prefix, room)

    def step(self, embedded: Tensor) -> Tensor:
        """Runs one embedded token a row (B, D) through the trunk -> last hidden states (B, D)."""
        positions = self._next
        return self._run(
            embedded[:, None], torch.zeros_like(positions), torch.full_like(positions, -1), positions
        )

    @property
    def _next(self) -> Tensor:
        """(B, 1) position of the next token."""
        return self.layout.positions[:, -1:] + 1

    def _append(self, segments: Sequence[Segment]) -> None:
        """Runs further tokens of each row through the trunk."""
        model, length = self.model, max(map(len, segments))
        self._check_length(self.layout.documents.shape[1] + length)

        def pad_left(name: str, fill: int) -> Tensor:
            lists = [getattr(own, name) for own in segments]
            padded = [[fill] * (length - len(own)) + own for own in lists]
            return torch.tensor(padded, device=model.vision_head.device)  # (B, L)

        ids, kinds = pad_left("ids", model.vocabulary.special("pad")), pad_left("kinds", -1)
        features = [own for segment in segments for own in segment.features]
        seen = torch.stack(features) if features else None
        embedded = model.embed(ids, seen, kinds == SEE, positions_in_image(kinds > TEXT, model.draw_tokens))
        documents = torch.where(kinds >= 0, 0, -1)
        self._run(embedded, documents, pad_left("see_blocks", -1), pad_left("positions", 0))

    def _run(self, embedded: Tensor, documents: Tensor, see_blocks: Tensor, positions: Tensor) -> Tensor:
        """Runs embedded tokens (B, T, D) through the trunk, (B, T) each of what lays them out -> (B, D) of the last."""
        trunk, first = self.model.trunk, self.layout.documents.shape[1]
        new = documents, see_blocks, positions
        grown = [torch.cat(pair, 1) for pair in zip(self.layout[:3], new, strict=True)]
        self.layout = layout = TokenLayout(grown[0], grown[1], grown[2], None, self.model.attend)

        def mask(window: int | None) -> Tensor:
            return additive_mask(attention_mask(layout, window, first), embedded.dtype)

        set_attention(trunk, "sdpa")
        out = trunk(
            inputs_embeds=embedded,
            attention_mask=masks_by_layer(trunk, mask),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        )
        self.last = out.last_hidden_state[:, -1]
        return self.last

    def _check_length(self, length: int) -> None:
        limit = rotary_limit(self.model.trunk.config)
        if limit is not None and length > limit:
            raise ValueError(
                f"prompt and answer are {length} tokens long, and this language model's rotary positions "
                f"({' '.join(LENGTH_DEPENDENT)}) are held to {limit}: shorten the prompt"
            )


def _key(prompt: Segment) -> Hashable:
    """Equal for prompts that compute the same: of the same tokens, about the same images."""
    return tuple(prompt.ids), tuple(map(id, prompt.features))


def _unique(keys: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """Where each distinct key comes first, and for every key which of these it is."""
    numbers: dict[Hashable, int] = {}
    found = [numbers.setdefault(key, len(numbers)) for key in keys]
    return [found.index(number) for number in range(len(numbers))], found


def _image_ends(prompts: Sequence[Segment]) -> list[int]:
    """Where the features of the one image in each prompt end; all 0 where one has none, several, or nothing after it."""
    if any(len(own.features) != 1 for own in prompts):
        return [0] * len(prompts)
    ends = [len(own) - own.kinds[::-1].index(SEE) for own in prompts]
    return ends if all(end < len(own) for own, end in zip(prompts, ends, strict=True)) else [0] * len(prompts)
