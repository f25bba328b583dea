"""Operations are counted as the usual formula has them."""

import pytest

from tests.training.plan.planned import LOAD, language_stage, usage


def test_operations_are_those_of_the_formula():
    """Six a parameter and token where it learns, as is usual; attention over whole rows, and heads where learned."""
    made = language_stage("meta")
    tokens, width, layers = LOAD.rows * LOAD.length, 64, 6
    matrices = layers * (4 * width * width + 3 * width * 128)
    attention = layers * LOAD.rows * 4 * LOAD.length**2 * width
    heads = sum(len(head) for head in (made.model.language.text_head, made.model.language.vision_head))
    head = 2 * (LOAD.texts + LOAD.codes) * heads * width
    adapter = 2 * LOAD.seen * 36 * (32 * width + width * width)
    frozen = made.model.encoder, made.model.tokenizer
    used = usage(made)
    alone = usage(made, LOAD._replace(encoded=0, drawn=0, seen=0))
    trunk = 2 * tokens * matrices + attention + head
    assert alone.forward == pytest.approx(trunk, rel=0.01)
    assert alone.backward == pytest.approx(
        2 * trunk + 0.5 * attention, rel=0.02
    )  # whose scores are recomputed
    assert used.forward > trunk + adapter and all(
        not p.requires_grad for part in frozen for p in part.parameters()
    )
