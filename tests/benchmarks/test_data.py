"""The benchmark of the data pipeline, on a few small shards."""

import random

import torch

from benchmarks import data


def test_rows_of_stage_3_are_full():
    assert data.packing(rows=200)["packed"] > 0.97


def test_a_stream_is_measured_and_resumed(tmp_path):
    shards = data.make_shards(tmp_path, 2, 10, 32)
    assert data.bare(shards, 0.1) > 0 and data.pipeline(shards, 0.1) > 0
    assert data.resume(shards=3, samples=5)["resume_seconds"] > 0


def test_a_document_takes_tokens_for_its_text_and_its_image(tmp_path):
    torch.manual_seed(0)
    sample = next(iter(data.wds.WebDataset(data.make_shards(tmp_path, 1, 1, 32), shardshuffle=False)))
    assert len(data._document(sample, random.Random(0))) > 258
