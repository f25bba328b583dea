"""The unified language model: continuous features in, text and image codes out, one softmax (ILLUME section 3.2).

Text rows and vision rows of embedding and head are separate parameters whose logits are concatenated, so stage 1
trains one and not the other without gradient masks, and drawing uses the vision rows alone.
"""

from dataclasses import asdict
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn
from torch.profiler import record_function
from transformers import AutoModel

from models.attention import Attend, Backend, attention_inputs, check_backend
from models.component_config import build
from models.language.chunked_loss import summed_cross_entropy
from models.language.ends import check_stops
from models.language.families import rotary_limit, trunk_config
from models.sequence import PackedBatch
from models.slices import Slicing
from models.turns import Turns
from models.vocabulary import Vocabulary

# What a learned token is for, by its document: it has no image, shows some, draws some, or does both.
TASKS = ("words", "understanding", "generation", "editing")


class LanguageLoss(NamedTuple):
    """Sums over learned tokens, and their counts: text and image codes apart.

    Attributes:
        by_task: (2, 4) sums and counts of each of TASKS, without gradients.
    """

    text: Tensor
    draw: Tensor
    text_tokens: Tensor
    draw_tokens: Tensor
    by_task: Tensor

    @property
    def mean(self) -> Tensor:
        """Cross-entropy by learned token."""
        return (self.text + self.draw) / (self.text_tokens + self.draw_tokens).clamp_min(1)


def positions_in_image(mask: Tensor, tokens: int) -> Tensor:
    """(B, L) mask of features and codes, whole images of `tokens` each -> (B, L) place in the image, -1 elsewhere."""
    counted = mask.flatten().cumsum(0).view_as(mask) - 1
    return torch.where(mask, counted % tokens, -1)


def at(rows: Tensor, place: int | Tensor) -> Tensor:
    """One of the rows (N, ...); of a place on a device, (1,), the host learns nothing."""
    return rows[place] if isinstance(place, int) else rows.index_select(0, place)[0]


def holds(documents: Tensor, mask: Tensor) -> Tensor:
    """(B, L) document of each token, and a mask of tokens -> (B, L) whether its document has any of those."""
    index = documents + 1  # padding is 0
    found = torch.zeros(index.shape[0], index.shape[1] + 1, dtype=torch.float, device=index.device)
    return found.scatter_add_(1, index, mask.float()).gather(1, index) > 0


def by_task(losses: Tensor, shows: Tensor, draws: Tensor) -> Tensor:
    """Sums and counts (2, 4) of each of TASKS, from the tokens' losses (T,) and what their documents do."""
    told = torch.stack([losses.float(), torch.ones_like(losses, dtype=torch.float)])  # (2, T)
    none = torch.zeros(2, len(TASKS), dtype=torch.float, device=losses.device)
    return none.index_add_(1, shows + 2 * draws, told)


class UnifiedLM(nn.Module, PyTorchModelHubMixin):
    """A Hugging Face decoder with an adapter for features and its own rows for text and vision.

    Args:
        trunk: a Hugging Face config as a dict, `model_type` among it.
        text_size: rows of the text vocabulary.
        codes: size of the visual codebook.
        feature_width: width of the features that enter.
        see_tokens: features an image enters as.
        draw_tokens: codes an image leaves as.
        attend: whether the features of one image look at each other ("image") or only back ("causal").
        places: adds to every feature and code a learned row for its place in the image, shared by seen and written
            images. Not ILLUME's: there a pretrained model counts by rotary positions alone (docs/decisions/).
        backend: how attention keeps the documents of a packed row apart (`models/attention.py`).
        turns: ids that open and close turns, where they are a chat template's (`models/turns.py`).
        stops: ids of text that end an answer too, beside the turns' own: what the published model names as its ends.
        slicing: settings of `models.slices.Slicing`: seen images are sliced, for high resolution. None: they are not.

    Raises:
        ValueError: turns or stops are no ids of text; the trunk wants dropout, and the backend knows none; places are
            asked for, and images enter on another grid than they leave on.
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
        places: bool = False,
        backend: Backend = "auto",
        turns: dict[str, list[int]] | None = None,
        slicing: dict[str, Any] | None = None,
        stops: list[int] | None = None,
    ) -> None:
        super().__init__()
        self.slicing: Slicing | None = None
        if slicing is not None:
            self.set_slicing(slicing)
        if places and see_tokens != draw_tokens:
            raise ValueError(
                f"places need one grid: images enter as {see_tokens} features and leave as {draw_tokens} codes"
            )
        config = trunk_config(trunk)
        check_backend(backend, config)
        self.trunk = AutoModel.from_config(config)
        width = config.hidden_size
        if type(self.trunk.get_input_embeddings()) is not nn.Embedding:  # of a kind that holds more
            self.trunk.set_input_embeddings(nn.Embedding(1, width))
        self.trunk.get_input_embeddings().requires_grad_(False)  # never used: see NO_TEXT_ROWS
        self.vocabulary = Vocabulary(text_size, codes)
        self._turns = turns
        Turns.of(turns, self.vocabulary)  # checks them
        self._stops = check_stops(stops, text_size)
        self.see_tokens, self.draw_tokens = see_tokens, draw_tokens
        self.attend, self.backend = attend, backend
        self.text_embedding = nn.Parameter(0.02 * torch.randn(text_size, width))
        self.text_head = nn.Parameter(0.02 * torch.randn(text_size, width))
        self.vision_embedding = nn.Parameter(0.02 * torch.randn(self.vocabulary.vision_size, width))
        self.vision_head = nn.Parameter(0.02 * torch.randn(self.vocabulary.vision_size, width))
        self.places = nn.Parameter(0.02 * torch.randn(draw_tokens, width)) if places else None
        self.adapter = nn.Sequential(nn.Linear(feature_width, width), nn.GELU(), nn.Linear(width, width))

    @property
    def turns(self) -> Turns:
        """What opens and closes turns."""
        return Turns.of(self._turns, self.vocabulary)

    @property
    def stops(self) -> tuple[int, ...]:
        """The ids that end an answer, each of them; the turns' own is the first."""
        return tuple(dict.fromkeys((self.turns.stop, *self._stops)))

    @property
    def context(self) -> int:
        """Tokens of a text: as many as the trunk has positions for, and its rotary angles hold for."""
        limit, positions = rotary_limit(self.trunk.config), self.trunk.config.max_position_embeddings
        return positions if limit is None else min(limit, positions)

    def set_slicing(self, slicing: dict[str, Any]) -> None:
        """Sees images in slices from now on, as its model folder will say; settings of `models.slices.Slicing`."""
        self.slicing = build(Slicing, slicing, "slicing")
        self._hub_mixin_config["slicing"] = asdict(self.slicing)

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by part: what the stages of ILLUME's table 5 freeze or train."""
        unused = self.trunk.get_input_embeddings().weight
        named = {name: p for name, p in self.trunk.named_parameters() if p is not unused}
        added = [p for name, p in named.items() if "lora_" in name]  # then the rest never learns
        return {
            "trunk": added or list(named.values()),
            "text": [self.text_embedding, self.text_head],
            "adapter": list(self.adapter.parameters()),
            "vision": [self.vision_embedding, self.vision_head]
            + ([] if self.places is None else [self.places]),
        }

    @torch.no_grad()
    def resize_codebook(self, codes: int) -> None:
        """Grows or shrinks the vocabulary to another codebook: new rows for all codes, those of special tokens stay.

        New rows are random and of the size of the text's, embedding and head each as its own.
        """
        special = self.vocabulary.vision_size - self.vocabulary.codes
        self.vocabulary = Vocabulary(self.vocabulary.text_size, codes)
        for name in ("vision_embedding", "vision_head"):
            rows = getattr(self, name)
            new = torch.randn(codes, rows.shape[1], device=rows.device) * self.text_scale(name).to(
                rows.device
            )
            setattr(self, name, nn.Parameter(torch.cat([rows[:special], new.to(rows.dtype)])))
        self._hub_mixin_config["codes"] = codes

    @torch.no_grad()
    def init_from_codebook(self, codebook: Tensor) -> None:
        """Lays out the codes' rows as the codebook lies, so that codes which stand for like features begin alike.

        Each row is its code's vector under a fixed random rotation, of the size of the text's rows (embedding and head
        each of its own: `text_scale`), and noise of a quarter of that. How ILLUME's begin is not published (assumed).

        Args:
            codebook: (K, C) the tokenizer's codes, C at most the model's width.
        """
        generator = torch.Generator().manual_seed(0)
        centred = (codebook - codebook.mean(0)).cpu()
        for name in ("vision_embedding", "vision_head"):
            rows, size = getattr(self, name), self.text_scale(name).cpu()
            width = rows.shape[1]
            turn = torch.linalg.qr(torch.randn(width, centred.shape[1], generator=generator)).Q  # (D, C)
            laid = centred @ turn.T  # (K, D)
            noise = torch.randn(laid.shape, generator=generator)
            rows[-len(laid) :] = size * (laid / laid.std() + 0.25 * noise)

    def text_scale(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """How large the text's numbers are beside a table of vision rows, (): their standard deviation.

        Args:
            name: of the table.
            dtype: that the numbers will be of; None: the table's, which mapped text rows may not be of yet.
        """
        text = getattr(self, name.replace("vision", "text")).detach()
        return text.to(dtype or getattr(self, name).dtype).float().std()

    def embed(
        self,
        ids: Tensor,
        features: Tensor | None = None,
        see_mask: Tensor | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Embeds tokens, with adapted features laid in.

        Args:
            ids: (B, L) token ids.
            features: (S, N, F) of the See blocks, in order.
            see_mask: (B, L) where they go.
            places: (B, L) place in its image of each feature and code, -1 elsewhere; None: there are none.

        Returns:
            (B, L, D).
        """
        vision = (
            ids >= self.vocabulary.text_size
        )  # two lookups, for one table of both would be a copy of them each time
        words = F.embedding(ids.masked_fill(vision, 0), self.text_embedding)
        others = F.embedding((ids - self.vocabulary.text_size).clamp_min(0), self.vision_embedding)
        embedded = torch.where(vision[..., None], others, words)
        if features is not None and see_mask is not None and len(features):
            adapted = self.adapter(features.to(self.adapter[0].weight.dtype)).to(embedded.dtype).flatten(0, 1)
            embedded = embedded.masked_scatter(see_mask[..., None], adapted)
        if self.places is None or places is None:
            return embedded
        return embedded + F.embedding(places.clamp_min(0), self.places) * (places >= 0)[..., None]

    def embed_codes(self, codes: Tensor, place: int | Tensor) -> Tensor:
        """Embeds codes (B,) that all stand at one place of their images, a number or a (1,) of it -> (B, D)."""
        first = self.vocabulary.first_code - self.vocabulary.text_size
        embedded = F.embedding(codes + first, self.vision_embedding)
        return embedded if self.places is None else embedded + at(self.places, place)

    def hidden(self, batch: PackedBatch, ids: Tensor, features: Tensor) -> Tensor:
        """Last hidden states (B, L, D) of a packed batch. ids (B, L) hold codes; features are those of its See blocks.

        Raises:
            ValueError: rows are longer than rotary angles hold for, where these depend on the longest text of a batch.
        """
        limit = rotary_limit(self.trunk.config)
        if limit is not None and ids.shape[1] > limit:
            raise ValueError(
                f"rows are {ids.shape[1]} tokens long, and this language model's rotary positions (dynamic or longrope) "
                f"are held to {limit}: data.init_args.sequence_length must be {limit} at most"
            )
        places = positions_in_image(batch.see_mask | batch.draw_mask, self.draw_tokens)
        embedded = self.embed(ids, features, batch.see_mask, places)
        about = (batch.documents, batch.see_blocks, self.attend, batch.branches, batch.positions)
        return self.trunk(
            inputs_embeds=embedded,
            position_ids=batch.positions,
            use_cache=False,
            **attention_inputs(self.trunk, self.backend, *about, embedded.dtype),
        ).last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V): text rows, then vision rows."""
        return torch.cat([F.linear(hidden, head) for head in (self.text_head, self.vision_head)], -1)

    def with_codes(self, batch: PackedBatch, codes: Tensor) -> Tensor:
        """The batch's ids with the codes (n, N) of its Draw blocks in place."""
        return batch.ids.masked_scatter(batch.draw_mask, self.vocabulary.first_code + codes.flatten())

    def loss(self, batch: PackedBatch, features: Tensor, codes: Tensor) -> LanguageLoss:
        """Next-token loss; logits are made only where a target is learned.

        Args:
            batch: the packed documents.
            features: (S, N, F) of the See blocks, in order.
            codes: (n, N) of the Draw blocks, in order.
        """
        ids = self.with_codes(batch, codes)
        hidden = self.hidden(batch, ids, features)
        learn = batch.learn & F.pad(batch.documents[:, 1:] == batch.documents[:, :-1], (1, 0))
        about = [holds(batch.documents, mask).flatten().long() for mask in (batch.see_mask, batch.draw_mask)]
        heads, sums, counts, tasks = (self.text_head, self.vision_head), [], [], []
        for kind in (learn & ~batch.draw_mask, learn & batch.draw_mask):
            at = kind.flatten().nonzero()[:, 0]  # of the tokens; each is told by what stands before it
            with record_function("forward: heads and loss"):  # for callbacks/profile.py
                total, each = summed_cross_entropy(hidden.flatten(0, 1)[at - 1], heads, ids.flatten()[at])
            sums.append(total)
            counts.append(kind.sum())
            tasks.append(by_task(each, *(does[at] for does in about)))
        return LanguageLoss(*sums, *counts, tasks[0] + tasks[1])
