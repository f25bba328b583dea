"""Documents to token segments, and segments packed into one batch: for training and for inference alike.

A document becomes turns: consecutive given parts are the user's, consecutive learned parts are the assistant's.

    begin | user See Text | assistant Text end | user Text | assistant begin_image Draw end_image end | ...

What opens and closes a turn is the model's own (`models/turns.py`). A drawn image is learned from `begin_image` to
`end_image`: drawing here sets the last itself, after so many codes, and whatever runs an exported model has to write it.

Branches, as many questions about one image, share what stands before them: each looks at that and at itself, and its
positions go on from there, so that it learns what it would learn alone, for the price of its own tokens.

A `See` or a `Draw` is N placeholders here; features and codes come in on the device, so workers pack before they exist.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from models.batch_images import Images, image_tables
from models.document import Branches, Document, Draw, See, Text
from models.prompts import PLAYGROUND, Prompts
from models.slices import ROW_END, Slicing, slice_document
from models.turns import Turns
from models.vocabulary import Vocabulary

TEXT, SEE, DRAW = 0, 1, 2


@dataclass
class Segment:
    """One document as token ids, before packing. Lists have one entry a token, `images` one an image in order.

    An image is None where its codes stand in `ids`, or its features in `features`, already.
    """

    ids: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    learn: list[bool] = field(default_factory=list)
    see_blocks: list[int] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    images: list[Tensor | None] = field(default_factory=list)
    image_uses: list[int] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)
    branch: int = -1

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, ids: Sequence[int], *, kind: int = TEXT, learn: bool = False, block: int = -1) -> None:
        """Appends tokens of one kind to the branch that is open, or before all branches where none is."""
        start = self.positions[-1] + 1 if self.positions else 0
        if self.branch >= 0 and self.branches[-1] != self.branch:  # a new branch goes on from what all share
            start = self.branches.count(-1)
        self.ids += ids
        self.kinds += [kind] * len(ids)
        self.learn += [learn] * len(ids)
        self.see_blocks += [block] * len(ids)
        self.branches += [self.branch] * len(ids)
        self.positions += range(start, start + len(ids))

    def until(self, end: int) -> "Segment":
        """The same segment without its last tokens, which are no image's: those from number `end` on."""
        tokens = ("ids", "kinds", "learn", "see_blocks", "branches", "positions")
        return replace(self, **{name: getattr(self, name)[:end] for name in tokens})


@dataclass
class PackedBatch:
    """Documents side by side in rows of one length (B, L); `documents` says which token belongs to which.

    Attributes:
        ids: (B, L) token ids; placeholders where an image stands.
        documents: (B, L) number of the document within its row, -1 for padding.
        positions: (B, L) position within the document; every branch counts on from what stands before them all.
        learn: (B, L) whether the token is a target.
        branches: (B, L) number of the branch within its document, -1 before all branches.
        see_blocks: (B, L) number of the See block within its row, -1 outside.
        see_mask, draw_mask: (B, L) placeholders of features and of codes.
        images: (M, 3, H, W) uint8, each image once.
        see_images: index into `images` of each See block, in row-major order of the blocks; -1 where its features are in
            `see_features` already.
        draw_images: index into `drawn` of each Draw block; -1 where its codes stand in `ids` already.
        see_features: (k, N, F) features of those See blocks, in order.
        code_images: (K, 3, h, w) uint8: what is drawn, where it is of another size than what is seen; else none.
    """

    ids: Tensor
    documents: Tensor
    positions: Tensor
    branches: Tensor
    learn: Tensor
    see_blocks: Tensor
    see_mask: Tensor
    draw_mask: Tensor
    images: Tensor
    see_images: Tensor
    draw_images: Tensor
    see_features: Tensor
    code_images: Tensor

    @property
    def drawn(self) -> Tensor:
        """What becomes codes: among `images`, where one size is right for both uses."""
        return self.code_images if len(self.code_images) else self.images

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "PackedBatch":
        """The same batch on a device."""
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)}
        return replace(self, **moved)

    def pin_memory(self) -> "PackedBatch":
        """The same batch in pinned memory."""
        return replace(self, **{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})


@dataclass(frozen=True)
class Sequencer:
    """Turns documents into segments.

    Args:
        vocabulary: the id layout.
        encode_text: words to text ids, without special tokens.
        see_tokens: features an image enters as.
        draw_tokens: codes an image leaves as.
        turns: what opens and closes turns; None: our own special tokens.
        slicing: how seen images are sliced (`models/slices.py`); None: each is seen as it is.
        prompts: the words of the model's tasks, which whoever makes its documents takes.

    Raises:
        ValueError: images are sliced, and the words have no token for the line break that ends a row of slices.
    """

    vocabulary: Vocabulary
    encode_text: Callable[[str], list[int]]
    see_tokens: int
    draw_tokens: int
    turns: Turns | None = None
    slicing: Slicing | None = None
    prompts: Prompts = PLAYGROUND

    def __post_init__(self) -> None:
        if self.turns is None:
            object.__setattr__(self, "turns", Turns.of(None, self.vocabulary))
        if self.slicing is not None and not self.encode_text(ROW_END.text):
            raise ValueError(
                "slicing ends each row of slices with a line break, and this text tokenizer drops it: "
                "leave slicing out, or take a text tokenizer that keeps line breaks"
            )

    def segment(self, document: Document, *, ask: bool = False) -> Segment:
        """One document as tokens. With `ask` it ends where the assistant's answer would begin."""
        turns, out = self.turns, Segment()
        if self.slicing is not None:
            document = slice_document(document, self.slicing)
        before, ways = _split(document)
        out.add(turns.begin)
        turn = self._add_turns(out, before, None)
        for number, way in enumerate(ways):
            out.branch = number
            if self._add_turns(out, way, turn):
                out.add(turns.end, learn=True)
        if ways:
            return out
        if document and isinstance(document[-1], Draw) and document[-1].open:
            return out
        if ask:
            out.add([*turns.end, *turns.assistant] if turn else turns.assistant)
        elif turn:
            out.add(turns.end, learn=True)
        return out

    def _add_turns(self, out: Segment, parts: Document, turn: bool | None) -> bool | None:
        """Adds parts; `turn` and the answer say whose turn it is: the assistant's, the user's or nobody's."""
        turns = self.turns
        for part in parts:
            mine = isinstance(part, Draw) or (isinstance(part, Text) and part.learn)
            if mine != turn:
                if turn:
                    out.add(turns.end, learn=True)
                out.add(turns.assistant if mine else turns.user)
                turn = mine
            self._add_part(out, part)
        return turn

    def _add_part(self, out: Segment, part: Text | See | Draw) -> None:
        special = self.vocabulary.special
        if isinstance(part, Text):
            out.add(self.encode_text(part.text), learn=part.learn)
            return
        seen = isinstance(part, See)
        out.add([special("begin_image")], learn=not seen)
        if seen:
            block = max(out.see_blocks, default=-1) + 1
            out.add([special("pad")] * self.see_tokens, kind=SEE, block=block)
            if part.features is not None:
                out.features.append(self._features(part.features))
        elif part.open:
            return  # the document stops at the image's door
        elif part.codes is None:
            out.add([self.vocabulary.first_code] * self.draw_tokens, kind=DRAW, learn=True)
        else:
            out.add(self._codes(part.codes), kind=DRAW, learn=True)
        known = part.features if seen else part.codes
        out.images.append(part.image if known is None else None)
        out.image_uses.append(SEE if seen else DRAW)
        out.add([special("end_image")], learn=not seen)

    def _features(self, features: Tensor) -> Tensor:
        if features.ndim != 2 or len(features) != self.see_tokens:
            shape = " x ".join(map(str, features.shape))
            raise ValueError(f"an image's features do not fit: {self.see_tokens} are wanted, not {shape}")
        return features

    def _codes(self, codes: Sequence[int]) -> list[int]:
        if len(codes) != self.draw_tokens or not all(0 <= code < self.vocabulary.codes for code in codes):
            raise ValueError(
                f"an image's codes do not fit: {self.draw_tokens} below {self.vocabulary.codes} are wanted"
            )
        return [self.vocabulary.first_code + code for code in codes]


def _split(document: Document) -> tuple[Document, Sequence[Document]]:
    """What all ways share, and the ways.

    Raises:
        ValueError: branches are not the last part, or one branches again, or begins with something to learn.
    """
    last = document[-1] if document else None
    before, ways = (document[:-1], last.ways) if isinstance(last, Branches) else (document, ())
    if any(isinstance(part, Branches) for parts in (before, *ways) for part in parts):
        raise ValueError("branches must be the last part of a document, and none may branch again")
    if not all(way and isinstance(way[0], Text) and not way[0].learn for way in ways):
        raise ValueError("each branch must begin with given words")
    return before, ways


def collate(segments: Sequence[Segment], rows: Sequence[Sequence[int]], length: int, pad: int) -> PackedBatch:
    """Lays segments into rows (lists of segment indices), padded on the right to `length`."""
    shape = (len(rows), length)
    ids = torch.full(shape, pad)
    documents, see_blocks, branches = (torch.full(shape, -1) for _ in range(3))
    positions, kinds = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    learn = torch.zeros(shape, dtype=torch.bool)
    images = image_tables(((s.images, s.image_uses) for s in segments), SEE, DRAW)
    uses: dict[int, list[int]] = {SEE: [], DRAW: []}
    features: list[Tensor] = []
    for r, row in enumerate(rows):
        start, block = 0, 0
        for d, index in enumerate(row):
            item = segments[index]
            span = slice(start, start + len(item))
            start += len(item)
            ids[r, span] = torch.tensor(item.ids)
            kinds[r, span] = torch.tensor(item.kinds)
            learn[r, span] = torch.tensor(item.learn)
            blocks = torch.tensor(item.see_blocks)
            see_blocks[r, span] = torch.where(blocks >= 0, blocks + block, -1)
            block += max(item.see_blocks, default=-1) + 1
            documents[r, span] = d
            positions[r, span] = torch.tensor(item.positions)
            branches[r, span] = torch.tensor(item.branches)
            features += item.features
            for image, use in zip(item.images, item.image_uses, strict=True):
                uses[use].append(images[use].index(image))
    apart = images[DRAW] if images[DRAW] is not images[SEE] else Images()
    return PackedBatch(
        ids=ids,
        documents=documents,
        positions=positions,
        branches=branches,
        learn=learn,
        see_blocks=see_blocks,
        see_mask=kinds == SEE,
        draw_mask=kinds == DRAW,
        images=images[SEE].stacked(),
        see_images=torch.tensor(uses[SEE], dtype=torch.long),
        draw_images=torch.tensor(uses[DRAW], dtype=torch.long),
        see_features=torch.stack(features) if features else torch.zeros(0, 1, 1),
        code_images=apart.stacked(),
    )
