"""Codebook usage of known codes."""

import pytest
import torch

from evals.playground.codebook import TOKENS_PER_CODE, codebook_scores, codebook_usage
from models.unified import Illume


def test_usage_of_known_codes() -> None:
    even = codebook_usage(torch.arange(8).repeat(5), 16)
    assert (even["codebook/used"], even["codebook/perplexity_share"]) == pytest.approx((0.5, 0.5))
    assert codebook_usage(torch.zeros(40, dtype=torch.long), 16)["codebook/perplexity"] == pytest.approx(1)


def test_codebook_is_counted_over_enough_tokens(tiny_illume: Illume) -> None:
    scores = codebook_scores(tiny_illume)
    assert scores["codebook/tokens_counted"] >= TOKENS_PER_CODE * 64
    assert 0 < scores["codebook/used"] <= 1
