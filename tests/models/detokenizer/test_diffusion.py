"""The detokenizer: seeds fix images whatever the batch; both losses teach; with and without a stem."""

import pytest
import torch

from models.detokenizer.diffusion import DiffusionDetokenizer, to_pixels, to_uint8

UNET = {"block_out_channels": (8, 16), "norm_num_groups": 4}


def test_an_image_depends_on_its_seed_not_its_batch(illume, images):
    codes = illume.encode(images)
    batch = illume.decode(codes, [1, 2, 3, 4, 5])
    alone = illume.decode(codes[2:3], [3])[0]
    assert (batch[2].int() - alone.int()).abs().max() <= 1
    other = illume.decode(codes[2:3], [4])[0]
    assert (other.int() - alone.int()).abs().max() > 1


@pytest.mark.parametrize("stem", [True, False])
def test_diffusion_learns(stem):
    torch.manual_seed(0)
    model = DiffusionDetokenizer(feature_width=8, stem=stem, unet=UNET, condition_width=4)
    features, pixels = torch.randn(4, 36, 8), torch.randn(4, 3, 48, 48).clamp(-1, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        generator = torch.Generator().manual_seed(0)
        loss = model.loss(features, pixels, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert model.stem is None or all(p.grad is None for p in model.stem.parameters())


def test_pixels_round_trip():
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_uint8(to_pixels(images)), images)
