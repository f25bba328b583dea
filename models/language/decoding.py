"""Prompts read once and continued token by token, and words written so."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from transformers import DynamicCache

from models.attention import additive_mask, attention_mask, masks_by_layer, use, within
from models.language.cache_memory import answers_at_once
from models.language.families import LENGTH_DEPENDENT, rotary_limit, sliding_window
from models.language.fused_decoder import FusedDecoder, can_fuse, may_copy_weights
from models.language.packed_linear import product
from models.language.unified_lm import UnifiedLM, positions_in_image
from models.sequence import SEE, TEXT, Segment

LOOK_EVERY = 8  # tokens
Bare = TypeVar("Bare", bound=FusedDecoder)


class Shared(NamedTuple):
    """Prompts that begin alike, apart: each distinct beginning once, and how every row goes on from one of them."""

    heads: list[Segment]
    first: list[int]  # the row that each beginning was taken from
    rows: list[int]  # the beginning of each row
    tails: list[list[int]]  # its further words


def share(prompts: Sequence[Segment]) -> Shared | None:
    """Takes questions about the same image apart; None where no two prompts begin with the same image."""
    if any(p.image_uses != [SEE] or p.images[0] is None for p in prompts):
        return None
    ends = [len(p) - p.kinds[::-1].index(SEE) for p in prompts]
    if any(end == len(p) for end, p in zip(ends, prompts, strict=True)):
        return None
    keys = [(id(p.images[0]), tuple(p.ids[:end])) for end, p in zip(ends, prompts, strict=True)]
    order = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    if len(order) == len(prompts):
        return None
    first = [keys.index(key) for key in order]
    return Shared(
        [prompts[i].until(ends[i]) for i in first],
        first,
        [order[key] for key in keys],
        [p.ids[end:] for end, p in zip(ends, prompts, strict=True)],
    )


class Prefill:
    """A batch of prompts run through the trunk once, to be continued token by token.

    Prompts of different lengths are padded on the left; padding is never looked at and positions are each row's own. An
    image that several prompts ask about is read once.

    Args:
        model: the language model.
        prompts: one segment a row.
        features: (S, N, F) features of all See blocks, in order.
    """

    def __init__(self, model: UnifiedLM, prompts: Sequence[Segment], features: Tensor) -> None:
        self.model = model
        if (shared := share(prompts)) is None:
            self._begin(prompts, features)
            return
        self._begin(shared.heads, features[shared.first])
        self.select(torch.tensor(shared.rows, device=features.device))
        self._go_on(shared.tails)

    def _begin(self, prompts: Sequence[Segment], features: Tensor) -> None:
        """Reads prompts from their beginning."""
        model, device = self.model, self.model.vision_head.device
        length = max(len(p) for p in prompts)
        pad = model.vocabulary.special("pad")
        ids = self._rows([p.ids for p in prompts], pad)
        blocks = self._rows([p.see_blocks for p in prompts], -1)
        kinds = self._rows([p.kinds for p in prompts], -1)
        self.real = kinds >= 0  # (B, K) keys that may be looked at
        documents = torch.where(self.real, 0, -1)
        lengths = torch.tensor([len(p) for p in prompts], device=device)
        self.position = lengths[:, None]  # (B, 1) of the next token
        positions = (torch.arange(length, device=device) + (lengths - length)[:, None]).clamp_min(0)
        self.positions = positions  # (B, K) of all keys
        self.cache = DynamicCache()  # whole in every layer: the config's own forgets what left a window
        places = positions_in_image(self.real & (kinds != TEXT), model.draw_tokens)
        embedded = model.embed(ids, features, kinds == SEE, places)
        self._check_limit(length)
        self.last = self._run(
            embedded, positions, lambda near: attention_mask(documents, blocks, model.attend, near=near)
        )

    def _go_on(self, tails: Sequence[Sequence[int]]) -> None:
        """Reads further words of each row."""
        before, lengths = self.real, torch.tensor([len(t) for t in tails], device=self.real.device)
        ids = self._rows(tails, self.model.vocabulary.special("pad"))  # (B, T)
        steps = torch.arange(ids.shape[1], device=ids.device) + (lengths - ids.shape[1])[:, None]
        self.real = torch.cat([before, steps >= 0], 1)
        documents, outside = torch.where(steps >= 0, 0, -1), torch.full_like(ids, -1)
        positions = self.position + steps.clamp_min(0)
        self.positions = torch.cat([self.positions, positions], 1)

        def free(near: Tensor | None) -> Tensor:  # (B, T, K)
            old, new = (None, None) if near is None else near.split([before.shape[1], ids.shape[1]], 2)
            seen = before[:, None].expand(-1, ids.shape[1], -1)
            own = attention_mask(documents, outside, self.model.attend, near=new)
            return torch.cat([seen if old is None else seen & old, own], 2)

        self._check_limit(self.real.shape[1])
        self.last = self._run(self.model.embed(ids), positions, free)
        self.position = self.position + lengths[:, None]

    def _rows(self, lists: Sequence[Sequence[int]], fill: int) -> Tensor:
        """Lists of several lengths, padded on the left -> (B, L)."""
        length = max(map(len, lists))
        padded = [[fill] * (length - len(own)) + list(own) for own in lists]
        return torch.tensor(padded, device=self.model.vision_head.device)

    def _run(self, embedded: Tensor, positions: Tensor, free: Callable[[Tensor | None], Tensor]) -> Tensor:
        """Reads on; `free` says who may look at whom, (B, Q, K), of what a sliding layer's window holds, or of all."""
        trunk, dtype = self.model.trunk, embedded.dtype
        use(trunk, "sdpa")
        whole = near = additive_mask(free(None), dtype)
        width = sliding_window(trunk.config)
        if width is not None and self.positions.shape[1] > width:
            near = additive_mask(free(within(positions, self.positions, width)), dtype)
        out = trunk(
            inputs_embeds=embedded,
            attention_mask=masks_by_layer(trunk, whole, near),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        )
        return out.last_hidden_state[:, -1]  # (B, D)

    def _check_limit(self, length: int) -> None:
        """Makes sure that texts do not become longer than rotary angles hold for.

        Raises:
            ValueError: they do.
        """
        limit = rotary_limit(self.model.trunk.config)
        if limit is not None and length > limit:
            raise ValueError(
                f"prompt and answer are {length} tokens long, and this language model's rotary positions "
                f"({' '.join(LENGTH_DEPENDENT)}) are held to {limit}: shorten the prompt"
            )

    def select(self, rows: Tensor) -> None:
        """Goes on with these rows (R,), any of them any number of times."""
        self.cache.batch_select_indices(rows)
        self.real, self.position, self.last = self.real[rows], self.position[rows], self.last[rows]
        self.positions = self.positions[rows]

    def reader(self, room: int, bare: bool = True) -> Callable[[Tensor], Tensor]:
        """What reads up to `room` further tokens, one a row: embedded (R, D) in, last hidden states (R, D) out.

        Where the trunk allows it and `bare` is set, it runs without its modules, on a cache of its own.

        Raises:
            ValueError: the rows would become longer than rotary angles hold for.
        """
        self._check_limit(self.real.shape[1] + room)
        if not bare or not can_fuse(self.model.trunk):
            return self.read
        return self.bare_trunk(FusedDecoder, room).step

    def bare_trunk(self, kind: type[Bare], room: int) -> Bare:
        """A trunk without its modules that goes on from here."""
        layers = self.cache.layers
        keys, values = [layer.keys for layer in layers], [layer.values for layer in layers]
        return kind(self.model.trunk, keys, values, self.real, self.position[:, 0], room)

    def read(self, embedded: Tensor) -> Tensor:
        """Appends one embedded token (R, D) to each row; returns the last hidden state (R, D)."""
        self.real = torch.cat([self.real, torch.ones_like(self.real[:, :1])], 1)
        self.positions = torch.cat([self.positions, self.position], 1)
        seen = self.real[:, None]
        self.last = self._run(
            embedded[:, None], self.position, lambda near: seen if near is None else seen & near
        )
        self.position = self.position + 1
        return self.last


@torch.no_grad()
def generate_tokens(
    model: UnifiedLM, prompts: Sequence[Segment], features: Tensor, limit: int = 64
) -> Iterator[Tensor]:
    """Greedy words for each prompt, token by token, up to one that ends them (`model.stops` or `begin_image`).

    Yields:
        (B,) ids; -1 for rows that are done.
    """
    words, ends = model.vocabulary.text_size, (*model.stops, model.vocabulary.special("begin_image"))
    own = torch.tensor([i for i in ends if i >= words], device=features.device)
    last = torch.tensor(ends, device=features.device)
    rows = Prefill(model, prompts, features)
    read = rows.reader(limit)
    chosen = [model.text_head, model.vision_head[own - words]]  # no code can be chosen
    head = product(chosen, [None, None], may_copy_weights(model.trunk))
    done = torch.zeros(len(prompts), dtype=torch.bool, device=features.device)
    hidden = rows.last
    for step in range(limit):
        best = head(hidden).argmax(-1)
        ids = torch.where(best >= words, own[(best - words).clamp_min(0)], best)
        yield torch.where(done, -1, ids)
        done |= torch.isin(ids, last)
        if step + 1 == limit or (_looks(done, step) and done.all()):
            return
        hidden = read(model.embed(ids[:, None])[:, 0])


def write_text(
    model: UnifiedLM, prompts: Sequence[Segment], features: Tensor, limit: int = 64
) -> list[list[int]]:
    """Greedy words for each prompt: for each row its text ids, then the closing token if one came within `limit`.

    As many rows are written at once as memory has room for.
    """
    most = answers_at_once(model, max(map(len, prompts)), limit)
    apart = features.split([sum(use == SEE for use in prompt.image_uses) for prompt in prompts])
    rows: list[list[int]] = []
    for part in (slice(first, first + most) for first in range(0, len(prompts), most)):
        written = torch.stack(list(generate_tokens(model, prompts[part], torch.cat(apart[part]), limit)), 1)
        rows += [[i for i in row if i >= 0] for row in written.tolist()]
    return rows


def _looks(done: Tensor, step: int) -> bool:
    """Whether to ask if all rows are done: on a device of its own that makes the host wait, so it is asked seldom."""
    return done.device.type == "cpu" or step % LOOK_EVERY == LOOK_EVERY - 1
