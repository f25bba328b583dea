"""Floating point operations are counted forward and backward, and nothing is counted twice."""

import pytest
import torch

from training.flop_counter import FlopCounter


def test_what_the_backward_pass_recomputes_is_not_counted() -> None:
    layer, rows = torch.nn.Linear(4, 4), torch.rand(2, 4, requires_grad=True)
    counted = []
    for again in (False, True):
        with FlopCounter() as counter:
            out = (
                torch.utils.checkpoint.checkpoint(layer, rows, use_reentrant=False) if again else layer(rows)
            )
            out.sum().backward()
        counted.append(counter.flops)
    assert counted == [2 * 2 * 4 * 4 * 3] * 2


@pytest.mark.parametrize("learned", [True, False])
def test_each_operation_is_counted_forward_and_backward(learned: bool) -> None:
    """Factor by factor: forward, and as much again for each factor that has a gradient."""
    times = 1 + 2 * learned
    rows, image = (torch.rand(*shape, requires_grad=learned) for shape in ((2, 3, 4), (2, 3, 8, 8)))
    counted = []
    for call, work in (
        (
            lambda: torch.nn.functional.linear(rows, torch.rand(5, 4, requires_grad=learned)),
            2 * 2 * 3 * 5 * 4 * times,
        ),
        (lambda: rows @ rows.mT, 2 * 2 * 3 * 3 * 4 * times),
        (
            lambda: torch.conv2d(image, torch.rand(6, 3, 3, 3, requires_grad=learned)),
            2 * 2 * 6 * 36 * 27 * times,
        ),
        (
            lambda: torch.nn.functional.scaled_dot_product_attention(rows, rows, rows),
            4 * 2 * 3 * 3 * 4 * times,
        ),
        (lambda: rows + rows, 0),
    ):
        with FlopCounter() as counter:
            call()
        counted.append((counter.flops, work))
    assert all(found == work for found, work in counted), counted
