"""The VAE takes a few images at a time, and no fp16 in which it overflows."""

import torch

from models.detokenizer.latents import from_latents, to_latents
from tests.models.detokenizer.test_stable_diffusion import SEEDS, detokenizer


def test_the_vae_runs_in_batches(tmp_path, features, pixels, monkeypatch):
    made, sizes = detokenizer(tmp_path, vae_batch=2), []
    for name in ("encode", "decode"):
        own = getattr(made.vae, name)
        monkeypatch.setattr(made.vae, name, lambda x, own=own: sizes.append(len(x)) or own(x))
    made.loss(features, pixels)
    made.decode(features, SEEDS)
    assert sizes == [2, 1, 2, 1]


def test_a_vae_that_overflows_does_not_run_in_fp16(tmp_path):
    vae = detokenizer(tmp_path).vae
    latents = torch.randn(2, 4, 12, 12)
    exact = from_latents(vae, latents, 8)
    with torch.autocast("cpu", torch.float16):
        assert from_latents(vae, latents, 8).equal(exact)
        assert to_latents(vae, exact, 1).allclose(to_latents(vae, exact, 8), atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert not from_latents(vae, latents, 8).equal(exact)
