"""Documents to token segments, and segments packed into one batch: for training and for inference alike.

A document becomes turns: consecutive given parts are the user's, consecutive learned parts are the assistant's.

    begin | user See Text | assistant Text end | user Text | assistant begin_image Draw end_image end | ...

What opens and closes a turn is the model's own. A drawn image is learned from `begin_image` to `end_image`, which
whatever runs an exported model has to write. Each branch learns what it would learn alone: it attends to what all share
and to itself, and its positions go on from there. A `See` or a `Draw` is N placeholders, for features and codes come in
on the device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from models.document import Branches, Document, Draw, See, Text
from models.prompts import PLAYGROUND, Prompts
from models.slices import ROW_END, Slicing, slice_document
from models.turns import Turns
from models.vocabulary import Vocabulary

TEXT, SEE, DRAW = 0, 1, 2
# what padding has, beside its id
FILL = {"positions": 0, "kinds": TEXT, "learn": False, "see_blocks": -1, "branches": -1}


@dataclass
class Segment:
    """One document as token ids, before packing: lists of one entry a token, and those of its images."""

    ids: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    learn: list[bool] = field(default_factory=list)
    see_blocks: list[int] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    # one of each See and Draw block; None: features are known, or ids hold the codes
    see_images: list[Tensor | None] = field(default_factory=list)
    draw_images: list[Tensor | None] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)  # (N, F), known; in a prompt, of all See blocks
    branch: int = -1  # to which tokens are added now; -1: before all branches

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, tokens: slice) -> "Segment":
        """The segment with these tokens only, which cut through no image; images and features stay."""
        return replace(self, ids=self.ids[tokens], **{name: getattr(self, name)[tokens] for name in FILL})

    def add(self, ids: Sequence[int], *, kind: int = TEXT, learn: bool = False, block: int = -1) -> None:
        """Appends tokens of one kind to the branch that is open, or before all branches where none is."""
        start = self.positions[-1] + 1 if self.positions else 0
        if self.branch >= 0 and self.branches[-1] != self.branch:  # a new branch goes on from what all share
            start = self.branches.count(-1)
        self.ids += ids
        self.positions += range(start, start + len(ids))
        of_all = {"kinds": kind, "learn": learn, "see_blocks": block, "branches": self.branch}
        for name, value in of_all.items():
            getattr(self, name).extend([value] * len(ids))


@dataclass
class PackedBatch:
    """Documents side by side in rows of one length."""

    ids: Tensor  # (B, L), placeholders where an image stands
    documents: Tensor  # (B, L) number of the document within its row, -1 for padding
    positions: Tensor  # (B, L) within the document; every branch counts on from what stands before them all
    branches: Tensor  # (B, L) number of the branch within its document, -1 before all branches
    learn: Tensor  # (B, L) whether the token is a target
    see_blocks: Tensor  # (B, L) number of the See block within its row, -1 outside
    see_mask: Tensor  # (B, L) placeholders of features
    draw_mask: Tensor  # (B, L) placeholders of codes
    images: Tensor  # (M, 3, H, W) uint8, each once
    see_images: Tensor  # index into `images` of each See block; -1 where its features are in `see_features`
    draw_images: Tensor  # index into `drawn` of each Draw block; -1 where its codes stand in `ids`
    see_features: Tensor  # (k, N, F) of those See blocks, in order
    code_images: Tensor  # (K, 3, h, w) uint8: what is drawn, where its size is another than of what is seen

    @property
    def drawn(self) -> Tensor:
        """The images that become codes: among `images`, where one size is right for both uses."""
        return self.code_images if len(self.code_images) else self.images

    def _map(self, change: Callable[[Tensor], Tensor]) -> "PackedBatch":
        return replace(self, **{f.name: change(getattr(self, f.name)) for f in fields(self)})

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "PackedBatch":
        """The same batch on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "PackedBatch":
        """The same batch in pinned memory."""
        return self._map(Tensor.pin_memory)


@dataclass(frozen=True)
class Sequencer:
    """Turns documents into segments, as one model reads them."""

    vocabulary: Vocabulary
    encode_text: Callable[[str], list[int]]  # without special tokens
    see_tokens: int
    draw_tokens: int
    turns: Turns | None = None  # None: our own special tokens
    slicing: Slicing | None = None  # None: each seen image is one
    prompts: Prompts = PLAYGROUND  # for those who make its documents

    def __post_init__(self) -> None:
        if self.slicing is not None and not self.encode_text(ROW_END.text):
            raise ValueError(
                "slicing ends each row of slices with a line break, and this text tokenizer drops it: "
                "leave slicing out, or take a text tokenizer that keeps line breaks"
            )

    def segment(self, document: Document, *, ask: bool = False) -> Segment:
        """One document as tokens. With `ask` it ends where the assistant's answer would begin."""
        turns, out = self.turns or Turns.of(None, self.vocabulary), Segment()
        if self.slicing is not None:
            document = slice_document(document, self.slicing)
        shared, branches = _split(document)
        out.add(turns.begin)
        answering = self._add_turns(out, shared, turns, None)
        for number, branch in enumerate(branches):
            out.branch = number
            if self._add_turns(out, branch, turns, answering):
                out.add(turns.end, learn=True)
        last = document[-1] if document else None
        if branches or (isinstance(last, Draw) and last.open):
            return out
        if ask:
            out.add([*turns.end, *turns.assistant] if answering else turns.assistant)
        elif answering:
            out.add(turns.end, learn=True)
        return out

    def _add_turns(self, out: Segment, parts: Document, turns: Turns, answering: bool | None) -> bool | None:
        """Adds parts; `answering` and what is returned: whether the assistant's turn is open, None where no turn is."""
        for part in parts:
            learned = isinstance(part, Draw) or (isinstance(part, Text) and part.learn)
            if learned != answering:
                if answering:
                    out.add(turns.end, learn=True)
                out.add(turns.assistant if learned else turns.user)
                answering = learned
            if isinstance(part, Text):
                out.add(self.encode_text(part.text), learn=part.learn)
            elif isinstance(part, See):
                self._add_seen(out, part)
            elif isinstance(part, Draw):
                self._add_drawn(out, part)
        return answering

    def _add_seen(self, out: Segment, part: See) -> None:
        special, features = self.vocabulary.special, part.features
        out.add([special("begin_image")])
        out.add([special("pad")] * self.see_tokens, kind=SEE, block=max(out.see_blocks) + 1)
        out.add([special("end_image")])
        out.see_images.append(part.image if features is None else None)
        if features is not None:
            if features.ndim != 2 or len(features) != self.see_tokens:
                shape = " x ".join(map(str, features.shape))
                raise ValueError(f"an image's features do not fit: {self.see_tokens} are wanted, not {shape}")
            out.features.append(features)

    def _add_drawn(self, out: Segment, part: Draw) -> None:
        """Adds an image to be drawn; one that is open ends the document at the image's door."""
        out.add([self.vocabulary.special("begin_image")], learn=True)
        if part.open:
            return
        codes = [0] * self.draw_tokens if part.codes is None else part.codes
        if len(codes) != self.draw_tokens or not all(0 <= code < self.vocabulary.codes for code in codes):
            raise ValueError(
                f"an image's codes do not fit: {self.draw_tokens} below {self.vocabulary.codes} are wanted"
            )
        out.add([self.vocabulary.first_code + code for code in codes], kind=DRAW, learn=True)
        out.add([self.vocabulary.special("end_image")], learn=True)
        out.draw_images.append(part.image if part.codes is None else None)


def _split(document: Document) -> tuple[Document, Sequence[Document]]:
    """What all branches share, and the branches, checked."""
    last = document[-1] if document else None
    shared, branches = (document[:-1], last.branches) if isinstance(last, Branches) else (document, ())
    if any(isinstance(part, Branches) for parts in (shared, *branches) for part in parts):
        raise ValueError("branches must be the last part of a document, and none may branch again")
    if not all(branch and isinstance(branch[0], Text) and not branch[0].learn for branch in branches):
        raise ValueError("each branch must begin with given text")
    return shared, branches


class ImageTable:
    """Images of one size, each once."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []
        self.numbers: dict[int, int] = {}

    def number(self, image: Tensor | None) -> int:
        """Of an image in the table, -1 of none."""
        if image is None:
            return -1
        if id(image) not in self.numbers:
            self.numbers[id(image)] = len(self.images)
            self.images.append(image)
        return self.numbers[id(image)]

    def stack(self) -> Tensor:
        """(M, 3, H, W)."""
        return torch.stack(self.images) if self.images else torch.zeros(0, 3, 1, 1, dtype=torch.uint8)


def collate(segments: Sequence[Segment], rows: Sequence[Sequence[int]], length: int, pad: int) -> PackedBatch:
    """Lays segments into rows (lists of segment indices), padded on the right to `length`."""
    fill = FILL | {"ids": pad, "documents": -1}
    tokens = {name: torch.full((len(rows), length), value) for name, value in fill.items()}
    seen_sizes = {image.shape for own in segments for image in own.see_images if image is not None}
    drawn_sizes = {image.shape for own in segments for image in own.draw_images if image is not None}
    seen, two_sizes = ImageTable(), seen_sizes and drawn_sizes and seen_sizes != drawn_sizes
    drawn = ImageTable() if two_sizes else seen
    see_images: list[int] = []
    draw_images: list[int] = []
    features: list[Tensor] = []
    for row, members in enumerate(rows):
        start = blocks = 0
        for document, segment in enumerate(segments[index] for index in members):
            span = row, slice(start, start + len(segment))
            start += len(segment)
            tokens["documents"][span] = document
            for name in ("ids", *FILL):
                tokens[name][span] = torch.tensor(getattr(segment, name))
            own = tokens["see_blocks"][span]
            own[own >= 0] += blocks
            blocks += max(segment.see_blocks, default=-1) + 1
            see_images += map(seen.number, segment.see_images)
            draw_images += map(drawn.number, segment.draw_images)
            features += segment.features
    kinds = tokens.pop("kinds")
    return PackedBatch(
        **tokens,
        see_mask=kinds == SEE,
        draw_mask=kinds == DRAW,
        images=seen.stack(),
        see_images=torch.tensor(see_images, dtype=torch.long),
        draw_images=torch.tensor(draw_images, dtype=torch.long),
        see_features=torch.stack(features) if features else torch.zeros(0, 1, 1),
        code_images=(drawn if two_sizes else ImageTable()).stack(),
    )
