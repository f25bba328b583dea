"""Every backend gives the same: no document sees another, and packing changes neither losses nor gradients."""

import pytest
import torch

from models.attention import TokenLayout, attention_inputs, attention_mask, length_buckets
from models.document import Branches, See, Text, describe_document, draw_document
from models.sequence import collate

BACKENDS = ("mask", "documents")


@pytest.fixture
def segments(illume, images):
    branches = ((Text("which"), Text("red", learn=True)), (Text("and"), Text("blue", learn=True)))
    documents = [
        draw_document("a red circle", images[0]),
        describe_document(images[1], "a blue square"),
        [See(images[2]), Branches(branches)],
        [Text("describe", learn=True)],
        [See(images[3]), Text("a"), See(images[4]), Text("red", learn=True)],
    ]
    return [illume.sequencer.segment(document) for document in documents]


def packed(illume, segments, backend, attend="image"):
    illume.language.backend, illume.language.attend = backend, attend
    batch = collate(segments, [[0, 2, 3], [4, 1], [3]], 180, 0)
    features, codes = illume.encode_images(batch)
    hidden = illume.language.hidden(batch, illume.language.with_codes(batch, codes), features)
    return batch, hidden, illume.language.loss(batch, features, codes)


@pytest.mark.parametrize("attend", ["image", "causal"])
def test_document_by_document_equals_one_mask(illume, segments, attend):
    results = []
    for backend in BACKENDS:
        illume.zero_grad()
        batch, hidden, loss = packed(illume, segments, backend, attend)
        (loss.text + loss.draw).backward()
        gradients = [p.grad.clone() for p in illume.language.parameters() if p.grad is not None]
        results.append((hidden[batch.documents >= 0], loss, gradients))
    (hidden, loss, gradients), (other, loss_too, gradients_too) = results
    assert torch.allclose(hidden, other, atol=1e-5)
    assert torch.allclose(torch.stack(loss[:2]), torch.stack(loss_too[:2]), rtol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(gradients, gradients_too, strict=True))


@pytest.mark.parametrize("attend", ["image", "causal"])
def test_the_block_mask_of_flex_attention_is_the_same_mask(illume, segments, attend):
    batch = collate(segments, [[0, 2, 3], [4, 1], [3]], 180, 0)
    layout = TokenLayout(batch.documents, batch.see_blocks, batch.positions, batch.branches, attend)
    look = attention_inputs(illume.language.trunk, "flex", layout, torch.float32)["attention_mask"].mask_mod
    row, query, key = torch.meshgrid(*(torch.arange(n) for n in (3, 180, 180)), indexing="ij")
    assert torch.equal(look(row, None, query, key), attention_mask(layout))


@pytest.mark.parametrize("backend", BACKENDS)
def test_changing_one_document_changes_no_other(illume, segments, backend):
    _, before, _ = packed(illume, segments, backend)
    changed = list(segments)
    changed[2] = illume.sequencer.segment(
        [See(torch.zeros(3, 48, 48, dtype=torch.uint8)), Text("blue " * 4, learn=True)]
    )
    batch, after, _ = packed(illume, changed, backend)
    first = slice(0, len(segments[0]))
    assert torch.equal(before[0, first], after[0, first]) and torch.equal(before[1:], after[1:])
    changed_token = len(segments[0]) + 10  # inside its image
    assert not torch.allclose(before[0, changed_token], after[0, changed_token], atol=1e-3)


def layout_of(documents, see_blocks=None, attend="image"):
    see_blocks = torch.full_like(documents, -1) if see_blocks is None else see_blocks
    positions = torch.arange(documents.shape[1]).expand_as(documents)
    return TokenLayout(documents, see_blocks, positions, None, attend)


def test_no_document_sees_another():
    documents = torch.tensor([[0, 0, 1, 1, -1]])
    blocks = torch.tensor([[-1, -1, 0, 0, -1]])
    free = attention_mask(layout_of(documents, blocks))[0]
    assert not free[2:4, :2].any() and not free[:2, 2:].any()
    assert free[2, 3] and not attention_mask(layout_of(documents, blocks, "causal"))[0][2, 3]
    assert free[4].tolist() == [False] * 4 + [True]


def test_a_sliding_window_does_not_cut_through_a_seen_image():
    documents, blocks = torch.zeros(1, 6, dtype=torch.long), torch.tensor([[-1, 0, 0, 0, -1, -1]])
    free = attention_mask(layout_of(documents, blocks), window=2)[0]
    assert free[5].tolist() == [False] * 4 + [True] * 2 and free[3].tolist() == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]
    assert torch.equal(attention_mask(layout_of(documents, blocks), window=2, first=4)[0], free[4:])


def test_length_buckets_are_the_documents_by_length():
    documents = torch.tensor([[0, 0, 1, 1, 1, -1], [0, 0, 0, 0, 0, 0]])
    blocks = torch.tensor([[-1, -1, 0, 0, -1, -1], [-1] * 6])
    layout = layout_of(documents, blocks)
    found = length_buckets(layout)
    assert [bucket.tokens.tolist() for bucket in found] == [[[6, 7, 8, 9, 10, 11]], [[2, 3, 4]], [[0, 1]]]
    assert found[0].mask is None and found[2].mask is None
    assert torch.equal(found[1].mask, attention_mask(layout)[:1, 2:5, 2:5])
    causal = length_buckets(layout._replace(attend="causal"))
    assert [bucket.mask for bucket in causal] == [None] * 3


def test_documents_of_about_one_length_share_a_bucket():
    (long, short) = length_buckets(layout_of(torch.tensor([[0] * 10 + [1] * 9 + [2]])))
    assert long.real.sum(1).tolist() == [10, 9] and long.tokens[1, -2:].tolist() == [18, 18]
    assert short.tokens.tolist() == [[19]]
