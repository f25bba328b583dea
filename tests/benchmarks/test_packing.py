"""Packed and padded batches of the benchmark."""

from benchmarks import packing


def test_packed_and_padded_batches_hold_the_same_documents():
    packed, padded = packing.batches(packing.PLAYGROUND, rows=4, count=2)
    ours, theirs = ([sorted(b.ids[b.documents >= 0].tolist()) for b in made] for made in (packed, padded))
    assert sorted(sum(ours, [])) == sorted(sum(theirs, []))
    assert all(batch.documents.max() == 0 for batch in padded)
