"""The benchmark of drawing and its peers."""

import torch

from benchmarks import drawing


def test_the_peers_draw_the_same_codes():
    model = drawing.our_model((64, 2, 96), tokens=6)
    prompts = torch.randint(3, drawing.TEXT, (3, 5), generator=torch.Generator().manual_seed(1))
    nulls = prompts[:1].expand(3, -1).clone()
    ours = drawing.our_draw(model, prompts, nulls)
    theirs = drawing.generate_draw(model, prompts, nulls)
    assert torch.equal(ours(True), theirs(True)) and theirs(False).shape == (3, 6)
    assert 0 <= int(theirs(False).min()) <= int(theirs(False).max()) < drawing.CODES
    theirs, asked, nulls = drawing.janus_draw(model, prompts)
    ours = drawing.our_draw(model, asked, nulls)
    assert torch.equal(ours(True), theirs(True)) and theirs(False).shape == (3, 6)
    assert 0 < drawing.matrix_share(ours) < 1
