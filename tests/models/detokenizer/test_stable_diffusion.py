"""Stable Diffusion as the detokenizer, on tiny folders of the real classes: what it learns, draws, saves and refuses."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from models.detokenizer.latents import to_latents
from models.detokenizer.stable_diffusion import StableDiffusionDetokenizer
from models.unified import Illume
from tests.tiny_stable_diffusion import PUBLISHED, PUBLISHED_VAE, UNETS, save_stable_diffusion

SEEDS = [1, 2, 3]
WAYS = ("cross_attention", "concat")
SIZES = {"feature_width": 8, "grid": 3, "image_size": 24, "steps": 3}


def detokenizer(
    folder: Path, version: str = "1.5", way: str = "concat", **settings
) -> StableDiffusionDetokenizer:
    """From a folder, with a first convolution that already looks at what is laid beside the latents."""
    save_stable_diffusion(folder, version)
    made = StableDiffusionDetokenizer.from_diffusers(str(folder), condition=way, **SIZES | settings)
    with torch.no_grad():
        made.unet.conv_in.weight[:, 4:].normal_(std=0.2)
    return made.eval()


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize(
    ("version", "way", "solver"),
    [
        ("1.5", "cross_attention", "dpm"),
        ("2.1", "concat", "euler"),
        ("xl", "cross_attention", "euler"),
        ("xl", "concat", "dpm"),
    ],
)
def test_images_depend_on_seed_and_features_not_on_the_batch(version, way, solver, tmp_path, features):
    made = detokenizer(tmp_path, version, way, solver=solver, vae_batch=2)
    images = made.decode(features, SEEDS)
    assert images.shape == (3, 3, 24, 24) and images.dtype == torch.uint8

    def far(feature: int, seed: int) -> int:
        return int(
            (made.decode(features[feature : feature + 1], [seed])[0].int() - images[2].int()).abs().max()
        )

    assert far(2, SEEDS[2]) <= 1 and far(2, 9) > 9 and far(1, SEEDS[2]) > 1
    assert not made.decode(features, SEEDS, steps=1).equal(images)


@pytest.mark.parametrize("version", UNETS)
def test_loss_targets_follow_the_prediction_type(version, tmp_path, features, pixels, monkeypatch):
    made = detokenizer(tmp_path, version)
    latents = to_latents(made.vae, pixels, 2)
    seen = []

    def all_knowing(noisy, steps, condition):
        seen.extend(steps.tolist())
        share = made.schedule.alphas_cumprod[steps][:, None, None, None]
        noise = (noisy - share.sqrt() * latents) / (1 - share).sqrt()
        return share.sqrt() * noise - (1 - share).sqrt() * latents if version == "2.1" else noise

    monkeypatch.setattr(made, "_predict", all_knowing)
    assert made.loss(features, pixels, seeded()) < 1e-6
    assert len(set(seen)) == 3, "each image has a timestep of its own"


@pytest.mark.parametrize("way", WAYS)
def test_training_leaves_the_vae_frozen(way, tmp_path, features, pixels):
    made = detokenizer(tmp_path, "xl", way).train()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in made.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        losses.append(made.loss(features, pixels, seeded()))
        losses[-1].backward()
        assert all(p.grad is not None for p in made.parameters() if p.requires_grad), "DDP waits for each"
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]
    still = {name for name, tensor in made.state_dict().items() if tensor.equal(before[name])}
    idle = {name for name in still if way == "concat" and re.search(r"\.(attn2|norm2)\.", name)}
    others = {name for name in still - idle if not name.startswith("vae.")}
    assert not others, "cross-attention learns nothing of zeros, all else moves"
    assert {name for name in before if name.startswith("vae.")} <= still


@pytest.mark.parametrize("version", UNETS)
def test_initially_the_condition_has_no_effect(version, tmp_path, features):
    save_stable_diffusion(tmp_path, version)
    made = StableDiffusionDetokenizer.from_diffusers(str(tmp_path), condition="concat", **SIZES).eval()
    assert made.unet.conv_in.weight[:, 4:].abs().max() == 0
    published = UNet2DConditionModel.from_pretrained(tmp_path / "unet")
    noisy, t = torch.randn(3, 4, 12, 12), torch.tensor(400)
    added = {"text_embeds": torch.zeros(3, 10), "time_ids": torch.tensor([[24.0, 24, 0, 0, 24, 24]] * 3)}
    nothing = torch.zeros(3, 77, published.config.cross_attention_dim)
    with torch.no_grad():
        theirs = published(
            noisy, t, nothing, added_cond_kwargs=added if version == "xl" else None, return_dict=False
        )[0]
        ours = made._predict(noisy, t, made._conditions(features))
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("version", UNETS)
def test_a_model_folder_needs_no_diffusers_folder(version, tmp_path, features):
    made = detokenizer(tmp_path / "sd", version, WAYS[version == "2.1"], guidance=3.0)
    Illume(detokenizer=made).save_pretrained(str(tmp_path / "model"))
    shutil.rmtree(tmp_path / "sd")
    again = Illume.from_pretrained(str(tmp_path / "model")).detokenizer
    assert again.decode(features, SEEDS).equal(made.decode(features, SEEDS))
    empty = StableDiffusionDetokenizer.empty(made.config, "here").eval()
    empty.load_state_dict(made.state_dict())
    assert empty.decode(features, SEEDS).equal(made.decode(features, SEEDS))
    assert not any(p.requires_grad for p in empty.vae.parameters())


def test_image_size_is_32_times_the_grid(tmp_path):
    made = detokenizer(tmp_path, grid=2, image_size=64)
    assert made.decode(torch.randn(1, 4, 8), [0]).shape == (1, 3, 64, 64)
    assert StableDiffusionDetokenizer.__init__.__defaults__[:3] == (512, 1280, 16)


def test_train_attention_only(tmp_path):
    for way, enters in (("cross_attention", "add_embedding"), ("concat", "conv_in")):
        made = detokenizer(tmp_path / way, "xl", way)
        made.train_attention_only()
        names = {name.split(".")[0] for name, p in made.unet.named_parameters() if p.requires_grad}
        assert names == {"down_blocks", "mid_block", "up_blocks", enters}
        within = [n for n, p in made.unet.named_parameters() if p.requires_grad and not n.startswith(enters)]
        assert within and all(".attn1." in name or ".attn2." in name for name in within)
        assert all(p.requires_grad for p in made.condition.parameters())


@pytest.mark.parametrize("count", PUBLISHED)
@pytest.mark.parametrize("way", WAYS)
def test_the_published_sizes_on_the_meta_device(count, way):
    with torch.device("meta"):
        made = StableDiffusionDetokenizer(
            unet=PUBLISHED[count], vae=PUBLISHED_VAE, scheduler={}, condition=way
        )
    wider = 64 * 320 * 9 if way == "concat" else 0
    assert sum(p.numel() for p in made.unet.parameters()) == count + wider
    assert sum(p.numel() for p in made.vae.parameters()) == 83_653_863
    assert made.side == 64 and made.schedule.alphas_cumprod.device.type == "cpu"
    assert all(name in made.state_dict() for name, _ in made.named_buffers()), "none is lost in a folder"
