"""Streams of datamodules: resumed exactly, sent to worker processes, stopped by one line."""

import itertools
import pickle

import pytest
import torch

from datamodules.loader import RankLoader
from tests.datamodules.documents import data, module
from tests.datamodules.tars import write_samples
from tests.fixtures import tiny_illume

__all__ = ["data", "module", "tiny_illume"]
WHOLE = []  # batches of a run that was never interrupted


def same(a, b):
    return (
        torch.equal(a.ids, b.ids)
        and torch.equal(a.images, b.images)
        and torch.equal(a.documents, b.documents)
    )


@pytest.mark.parametrize(("workers", "later"), [(0, 0), (2, 2), (4, 4), (0, 4), (2, 0)])
@pytest.mark.parametrize("cut", [3, 7])
def test_resume_is_exact(module, workers, later, cut):
    """In the middle of an epoch and of the second one; what waits in the packing buffer is read again."""
    if not WHOLE:
        loader = module(0).train_dataloader()
        WHOLE.extend(batch for _ in range(3) for batch in loader)
    broken, head = module(workers).train_dataloader(), []
    while len(head) < cut:
        head += itertools.islice(broken, cut - len(head))
    again = module(later).train_dataloader()
    again.load_state_dict(broken.state_dict())
    rest = [batch for _ in range(3) for batch in again][: 15 - cut]
    assert all(same(a, b) for a, b in zip(head + rest, WHOLE, strict=True))


def test_readers_can_be_sent_to_a_process_that_shares_no_memory(module):
    """As on macOS and Windows, and on Linux from Python 3.14: what workers need is pickled."""
    loader = module().train_dataloader()
    first = next(iter(loader))
    copied = RankLoader(pickle.loads(pickle.dumps(loader.dataset.open_reader)), 2)
    assert torch.equal(first.images, next(iter(copied)).images)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_source_of_nothing_but_broken_samples_is_one_line(module, tmp_path, workers):
    write_samples(tmp_path / "0.tar", {str(i): {"txt": b"no image"} for i in range(9)})
    sources = {"pairs": {"shards": str(tmp_path), "template": "draw", "weight": 1.0}}
    with pytest.raises(
        ValueError, match="^source 'pairs' gave not one good sample: a sample has no image"
    ) as error:
        list(module(workers, sources).train_dataloader())
    assert "\n" not in str(error.value)
