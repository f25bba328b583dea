"""The unified language model: continuous features in, text and image codes out, one softmax (ILLUME section 3.2).

Text rows and vision rows of embedding and head are separate parameters whose logits are concatenated, so stage 1
trains one and not the other without gradient masks, and drawing uses the vision rows alone.
"""

from dataclasses import asdict
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import record_function
from transformers import AutoModel, PreTrainedModel

from models.attention import Attend, Backend, TokenLayout, attention_inputs, check_backend
from models.component import Component
from models.component_config import build
from models.language.chunked_loss import summed_cross_entropy
from models.language.families import rotary_limit, trunk_config
from models.language.stop_ids import check_stop_ids
from models.sequence import PackedBatch
from models.slices import Slicing
from models.turns import Turns
from models.vocabulary import Vocabulary

# By the document of a target token: it has no image, shows some, draws some, or does both.
TASKS = ("text", "understanding", "generation", "editing")


class LanguageLoss(NamedTuple):
    """Sums over target tokens and their counts, text and codes apart."""

    text: Tensor
    draw: Tensor
    text_tokens: Tensor
    draw_tokens: Tensor
    by_task: Tensor  # (2, 4) sums and counts of each of TASKS, without gradients

    @property
    def mean(self) -> Tensor:
        """Cross-entropy per target token."""
        return (self.text + self.draw) / (self.text_tokens + self.draw_tokens).clamp_min(1)


def positions_in_image(mask: Tensor, tokens: int) -> Tensor:
    """(B, L) mask of features and codes, whole images of `tokens` each -> (B, L) position in the image, -1 elsewhere."""
    counted = mask.flatten().cumsum(0).view_as(mask) - 1
    return torch.where(mask, counted % tokens, -1)


def in_document(documents: Tensor, mask: Tensor) -> Tensor:
    """(B, L) document of each token, and a mask of tokens -> (B, L) whether its document has any of those."""
    index = documents + 1  # padding is 0
    found = torch.zeros(index.shape[0], index.shape[1] + 1, dtype=torch.float, device=index.device)
    return found.scatter_add_(1, index, mask.float()).gather(1, index) > 0


class UnifiedLM(Component):
    """A Hugging Face decoder with an adapter for features and its own rows for text and vision.

    `trunk` is a Hugging Face config, `model_type` among it. An image enters as `see_tokens` features of `feature_width`,
    and leaves as `draw_tokens` of the visual codebook's `codes`. `position_embedding` adds a learned row for the position
    in its image to every feature and code. Not ILLUME's: there rotary positions alone count
    (docs/decisions/language_model.md). `turns` and `stop_ids` are ids of text, where a published model opens and closes
    turns and ends answers by its own; `slicing` are settings of `models.slices.Slicing`, for high resolution.

    Raises:
        ValueError: an id that is not text's, or settings that do not fit each other.
    """

    def __init__(
        self,
        trunk: dict[str, Any],
        text_size: int,
        codes: int,
        feature_width: int,
        see_tokens: int,
        draw_tokens: int,
        attend: Attend = "image",
        position_embedding: bool = False,
        backend: Backend = "auto",
        turns: dict[str, list[int]] | None = None,
        slicing: dict[str, Any] | None = None,
        stop_ids: list[int] | None = None,
    ) -> None:
        super().__init__()
        self.slicing: Slicing | None = None
        if slicing is not None:
            self.set_slicing(slicing)
        if position_embedding and see_tokens != draw_tokens:
            raise ValueError(
                f"position_embedding needs one grid: images enter as {see_tokens} features "
                f"and leave as {draw_tokens} codes"
            )
        config = trunk_config(trunk)
        check_backend(backend, config)
        self.trunk: PreTrainedModel = AutoModel.from_config(config)
        width = config.hidden_size
        if type(self.trunk.get_input_embeddings()) is not nn.Embedding:  # of a kind that holds more
            self.trunk.set_input_embeddings(nn.Embedding(1, width))
        self.trunk.get_input_embeddings().requires_grad_(False)  # never used: see NO_TEXT_ROWS
        self.vocabulary = Vocabulary(text_size, codes)
        self.turns = Turns.of(turns, self.vocabulary)
        # the ids that end an answer; the turns' own comes first
        self.stop_ids = tuple(dict.fromkeys((self.turns.stop, *check_stop_ids(stop_ids, text_size))))
        self.see_tokens, self.draw_tokens = see_tokens, draw_tokens
        self.attend, self.backend = attend, backend
        self.text_embedding, self.text_head = _rows(text_size, width), _rows(text_size, width)
        vision_size = self.vocabulary.vision_size
        self.vision_embedding, self.vision_head = _rows(vision_size, width), _rows(vision_size, width)
        self.position_embedding = _rows(draw_tokens, width) if position_embedding else None
        self.adapter = new_adapter(feature_width, width)

    @property
    def context(self) -> int:
        """The most tokens of a document: as many as the trunk has positions for, and its rotary angles hold for."""
        limit, positions = rotary_limit(self.trunk.config), self.trunk.config.max_position_embeddings
        return positions if limit is None else min(limit, positions)

    def set_slicing(self, slicing: dict[str, Any]) -> None:
        """Sees images in slices from now on, as its model folder will say; settings of `models.slices.Slicing`."""
        self.slicing = build(Slicing, slicing, "slicing")
        self.config["slicing"] = asdict(self.slicing)

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by group: what the stages of ILLUME's table 5 freeze or train."""
        unused = self.trunk.get_input_embeddings().weight
        named = {name: p for name, p in self.trunk.named_parameters() if p is not unused}
        added = [p for name, p in named.items() if "lora_" in name]  # then the rest never learns
        vision = [self.vision_embedding, self.vision_head, self.position_embedding]
        return {
            "trunk": added or list(named.values()),
            "text": [self.text_embedding, self.text_head],
            "adapter": list(self.adapter.parameters()),
            "vision": [parameter for parameter in vision if parameter is not None],
        }

    @torch.no_grad()
    def resize_codebook(self, codes: int) -> None:
        """Changes the vocabulary to another codebook: random rows for all codes, those of special tokens stay."""
        special = self.vocabulary.vision_size - self.vocabulary.codes
        self.vocabulary = Vocabulary(self.vocabulary.text_size, codes)
        for name in ("vision_embedding", "vision_head"):
            rows = getattr(self, name)
            new = torch.randn(codes, rows.shape[1], device=rows.device)
            new = (new * self.text_scale(name).to(rows.device)).to(rows.dtype)
            setattr(self, name, nn.Parameter(torch.cat([rows[:special], new])))
        self.config["codes"] = codes

    @torch.no_grad()
    def init_from_codebook(self, codebook: Tensor) -> None:
        """Initializes the codes' rows from the tokenizer's codebook (K, C), so that like codes begin alike.

        Each row is its code's vector under a fixed random rotation, of the scale of the text's rows, and noise of a
        quarter of that. How ILLUME's begin is not published (assumed).
        """
        generator = torch.Generator().manual_seed(0)
        centred = (codebook - codebook.mean(0)).cpu()
        for name in ("vision_embedding", "vision_head"):
            rows, scale = getattr(self, name), self.text_scale(name).cpu()
            rotation = torch.randn(rows.shape[1], centred.shape[1], generator=generator)
            rotated = centred @ torch.linalg.qr(rotation).Q.T  # (K, D)
            noise = torch.randn(rotated.shape, generator=generator)
            rows[-len(rotated) :] = scale * (rotated / rotated.std() + 0.25 * noise)

    def text_scale(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """Standard deviation () of the text's rows beside a table of vision rows, in its dtype or the one given."""
        text = getattr(self, name.replace("vision", "text")).detach()
        return text.to(dtype or getattr(self, name).dtype).float().std()

    def embed(
        self,
        ids: Tensor,
        features: Tensor | None = None,
        see_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Embeds tokens (B, L) -> (B, L, D), with the features (S, N, F) of See blocks at `see_mask`.

        `positions` (B, L) are those of features and codes in their images, -1 elsewhere.
        """
        text_size = self.vocabulary.text_size
        vision = ids >= text_size
        # two lookups: one table of both would be a copy of them each time
        text = F.embedding(ids.masked_fill(vision, 0), self.text_embedding)
        other = F.embedding((ids - text_size).clamp_min(0), self.vision_embedding)
        embedded = torch.where(vision[..., None], other, text)
        if features is not None and see_mask is not None and len(features):
            adapted = self.adapter(features.to(next(self.adapter.parameters()).dtype)).flatten(0, 1)
            embedded = embedded.masked_scatter(see_mask[..., None], adapted.to(embedded.dtype))
        if self.position_embedding is None or positions is None:
            return embedded
        rows = F.embedding(positions.clamp_min(0), self.position_embedding)
        return embedded + rows * (positions >= 0)[..., None]

    def embed_codes(self, codes: Tensor, position: int | Tensor) -> Tensor:
        """Embeds codes (B,) at one position of their images, a number or a (1,) of it -> (B, D)."""
        first = self.vocabulary.first_code - self.vocabulary.text_size
        embedded = F.embedding(codes + first, self.vision_embedding)
        return embedded if self.position_embedding is None else embedded + self.position_embedding[position]

    def hidden(self, batch: PackedBatch, ids: Tensor, features: Tensor) -> Tensor:
        """Last hidden states (B, L, D) of a packed batch, from its ids with codes and the features of its See blocks.

        Raises:
            ValueError: rows are longer than rotary angles hold for.
        """
        limit = rotary_limit(self.trunk.config)
        if limit is not None and ids.shape[1] > limit:
            raise ValueError(
                f"rows are {ids.shape[1]} tokens long, and this language model's rotary positions (dynamic or longrope) "
                f"are held to {limit}: data.init_args.sequence_length must be {limit} at most"
            )
        positions = positions_in_image(batch.see_mask | batch.draw_mask, self.draw_tokens)
        embedded = self.embed(ids, features, batch.see_mask, positions)
        layout = TokenLayout(batch.documents, batch.see_blocks, batch.positions, batch.branches, self.attend)
        return self.trunk(
            inputs_embeds=embedded,
            position_ids=batch.positions,
            use_cache=False,
            **attention_inputs(self.trunk, self.backend, layout, embedded.dtype),
        ).last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V): text rows, then vision rows."""
        return torch.cat([F.linear(hidden, head) for head in (self.text_head, self.vision_head)], -1)

    def with_codes(self, batch: PackedBatch, codes: Tensor) -> Tensor:
        """The batch's ids with the codes (n, N) of its Draw blocks in place."""
        return batch.ids.masked_scatter(batch.draw_mask, self.vocabulary.first_code + codes.flatten())

    def loss(self, batch: PackedBatch, features: Tensor, codes: Tensor) -> LanguageLoss:
        """Next-token loss, from features (S, N, F) of the See blocks and codes (n, N) of the Draw blocks, in order."""
        ids = self.with_codes(batch, codes)
        hidden = self.hidden(batch, ids, features).flatten(0, 1)
        learn = batch.learn & F.pad(batch.documents[:, 1:] == batch.documents[:, :-1], (1, 0))
        shows, draws = (in_document(batch.documents, mask) for mask in (batch.see_mask, batch.draw_mask))
        tasks, heads = (shows + 2 * draws).flatten(), (self.text_head, self.vision_head)
        by_task = torch.zeros(2, len(TASKS), dtype=torch.float, device=hidden.device)
        sums, counts = [], []
        for target in (learn & ~batch.draw_mask, learn & batch.draw_mask):
            index = target.flatten().nonzero()[:, 0]  # each is predicted from the token before it
            with record_function("forward: heads and loss"):  # for callbacks/profile.py
                total, each = summed_cross_entropy(hidden[index - 1], heads, ids.flatten()[index])
            sums.append(total)
            counts.append(target.sum())
            by_task.index_add_(1, tasks[index], torch.stack([each.float(), torch.ones_like(each.float())]))
        return LanguageLoss(sums[0], sums[1], counts[0], counts[1], by_task)


def new_adapter(feature_width: int, width: int) -> nn.Sequential:
    """Features (..., F) -> (..., D)."""
    return nn.Sequential(nn.Linear(feature_width, width), nn.GELU(), nn.Linear(width, width))


def _rows(count: int, width: int) -> nn.Parameter:
    return nn.Parameter(0.02 * torch.randn(count, width))
