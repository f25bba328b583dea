"""Several processes learn what one would of the joint batch: codebooks, batch norms and what is logged of them."""

import copy

import pytest
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from models.distributed import SyncBatchNorm2d, sample_rows
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.semantic import SemanticTokenizer
from tests.perturb import perturb
from tests.ranks import forked

RANKS, STEPS = 2, 6


def joined(work):
    """A function of the rank, run where the ranks have joined each other."""

    def run(rank):
        distributed.init_process_group("gloo")
        return work(rank)

    return run


def features(step):
    """The joint batch (4, 16, 32): what the ranks see lies apart, so that one rank's alone would tell."""
    torch.manual_seed(100 + step)
    apart = torch.tensor([0.0, 0.0, 3.0, 3.0])[:, None, None] * torch.eye(32)[0]
    return torch.nn.functional.layer_norm(torch.randn(4, 16, 32) + apart, (32,))


def trained(kind, rank=None):
    """The tokenizer after some steps on the joint batch, or on a rank's half of it."""
    torch.manual_seed(0)
    tokenizer = SemanticTokenizer(32, 16, 64, 8, 1, 2, kind)
    model = tokenizer if rank is None else DistributedDataParallel(tokenizer)
    optimizer = torch.optim.SGD(tokenizer.parameters(), 0.05)
    for step in range(STEPS):
        batch = features(step)
        torch.manual_seed(1000 * (rank or 0) + step)  # the noise of each rank is its own
        loss = model(batch if rank is None else batch[2 * rank : 2 * rank + 2]).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: tensor.detach().clone() for name, tensor in tokenizer.state_dict().items()}


@pytest.mark.parametrize("kind", ["ema", "plain", "simvq"])
def test_codebooks_of_two_ranks_equal_those_of_one(kind):
    alone = trained(kind)
    printed = forked(joined(lambda rank: trained(kind, rank)), RANKS)
    assert alone["quantizer.usage"].ne(1).any()
    for name, tensor in alone.items():
        assert torch.equal(printed[0][name], printed[1][name]), name  # not one row differs between ranks
        assert torch.allclose(printed[0][name], tensor, atol=2e-5), name


def test_sampled_rows_are_equal_on_every_rank():
    def chosen(rank):
        torch.manual_seed(rank)
        rows = (
            torch.arange(3 + 2 * rank, dtype=torch.float)[:, None] + 10 * rank
        )  # batches of different sizes
        return sample_rows(rows, 200)

    first, second = forked(joined(chosen), RANKS)
    assert torch.equal(first, second)
    assert set(first.flatten().tolist()) == {0.0, 1.0, 2.0, 10.0, 11.0, 12.0, 13.0, 14.0}


def test_batch_norm_statistics_are_of_all_ranks():
    torch.manual_seed(0)
    encoder = perturb(VisionEncoder(16, 16, 1, 2)).train()
    assert any(isinstance(module, SyncBatchNorm2d) for module in encoder.modules())
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    images[2:] //= 3
    weight = torch.randn(4, 4, 16)

    def learned(rank=None):
        own = copy.deepcopy(encoder)
        model = own if rank is None else DistributedDataParallel(own)
        part = slice(None) if rank is None else slice(2 * rank, 2 * rank + 2)
        out = model(images[part])
        (out * weight[part]).mean().backward()
        grads = {name: p.grad.clone() for name, p in own.named_parameters()}
        buffers = {name: buffer.clone() for name, buffer in own.named_buffers()}
        return out.detach().clone(), grads, buffers

    out, grads, buffers = learned()
    printed = forked(joined(learned), RANKS)
    assert torch.allclose(torch.cat([printed[0][0], printed[1][0]]), out, atol=1e-5)
    for theirs, ours in ((printed[0][1], grads), (printed[1][1], grads), (printed[0][2], buffers)):
        for name, tensor in ours.items():
            assert torch.allclose(theirs[name], tensor, atol=1e-5), name
