"""Benchmarks run, and compare what they say they compare."""

import random

import torch

from benchmarks import data, drawing, loss, packing


def test_packed_and_padded_batches_hold_the_same_documents():
    packed, padded = packing.batches(packing.PLAYGROUND, rows=4, count=2)
    ours, theirs = ([sorted(b.ids[b.documents >= 0].tolist()) for b in made] for made in (packed, padded))
    assert sorted(sum(ours, [])) == sorted(sum(theirs, []))
    assert all(batch.documents.max() == 0 for batch in padded)


def test_rows_of_stage_3_are_full():
    assert data.packing(rows=200)["packed"] > 0.97


def test_a_stream_is_measured_and_resumed(tmp_path):
    shards = data.make_shards(tmp_path, 2, 10, 32)
    assert data.bare(shards, 0.1) > 0 and data.ours(shards, 0.1) > 0
    assert data.resume(shards=3, samples=5)["resume_seconds"] > 0


def test_a_document_takes_tokens_for_its_words_and_its_image(tmp_path):
    torch.manual_seed(0)
    sample = next(iter(data.wds.WebDataset(data.make_shards(tmp_path, 1, 1, 32), shardshuffle=False)))
    assert len(data._document(sample, random.Random(0))) > 258


def test_the_peers_of_drawing_write_what_we_write():
    model = drawing.our_model(64, 2, 96, tokens=6)
    prompts = torch.randint(3, drawing.TEXT, (3, 5), generator=torch.Generator().manual_seed(1))
    nulls = prompts[:1].expand(3, -1).clone()
    ours = drawing.our_draw(model, prompts, nulls)
    theirs = drawing.generate_draw(model, prompts, nulls)
    assert torch.equal(ours(True), theirs(True)) and theirs(False).shape == (3, 6)
    assert 0 <= int(theirs(False).min()) <= int(theirs(False).max()) < drawing.CODES
    theirs, asked, without = drawing.janus_draw(model, prompts)
    ours = drawing.our_draw(model, asked, without)
    assert torch.equal(ours(True), theirs(True)) and theirs(False).shape == (3, 6)
    assert 0 < drawing.matrix_share(ours) < 1


def test_both_losses_are_measured_and_agree(monkeypatch):
    monkeypatch.setattr("models.language.chunked_loss.WHOLE_ENTRIES", 0)
    monkeypatch.setattr("models.language.chunked_loss.CHUNK_ENTRIES", 2**20)
    found = loss.measure(tokens=512, width=8, rounds=1)
    assert found["largest_difference"] < 1e-4 and found["seconds_over_full"] > 0
    assert 90 < found["full_mib"] < 1000 and found["chunked_mib"] < found["full_mib"]
