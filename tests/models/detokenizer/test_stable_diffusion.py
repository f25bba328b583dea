"""Stable Diffusion as the detokenizer, on tiny folders of the real classes: what it learns, draws, saves and refuses."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from models.detokenizer.latents import from_latents, to_latents
from models.detokenizer.stable_diffusion import StableDiffusionDetokenizer
from models.unified import Illume
from tests.tiny_stable_diffusion import PUBLISHED, PUBLISHED_VAE, UNETS, VAE, save_stable_diffusion

SEEDS = [1, 2, 3]
WAYS = ("cross_attention", "concat")
SIZES = {"feature_width": 8, "grid": 3, "image_size": 24, "steps": 3}


@pytest.fixture
def features() -> torch.Tensor:
    """Of three images."""
    return torch.randn(3, 9, 8, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def pixels() -> torch.Tensor:
    """As many images in -1 to 1."""
    return torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(3)) * 2 - 1


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
def test_a_seed_alone_gives_what_it_gives_in_a_batch_and_features_matter(
    version, way, solver, tmp_path, features
):
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
def test_the_loss_is_against_what_the_scheduler_says_is_predicted(
    version, tmp_path, features, pixels, monkeypatch
):
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
def test_it_learns_and_the_vae_does_not(way, tmp_path, features, pixels):
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
def test_at_first_it_is_the_published_unet_that_is_told_nothing(version, tmp_path, features):
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


@pytest.mark.parametrize("way", WAYS)
def test_guidance(way, tmp_path, features, monkeypatch):
    made = detokenizer(tmp_path, "xl", way, guidance=1.0)
    rows = []
    predict = made._predict
    monkeypatch.setattr(made, "_predict", lambda x, *rest: rows.append(len(x)) or predict(x, *rest))
    none = made.decode(features, SEEDS)
    assert rows == [3, 3, 3], "without guidance nothing is doubled"
    made.guidance = 1 + 1e-9
    assert (made.decode(features, SEEDS).int() - none.int()).abs().max() <= 1
    assert rows[3:] == [6, 6, 6], "with guidance there is one batch a step"
    made.guidance = 4.0
    assert (made.decode(features, SEEDS).int() - none.int()).abs().max() > 1
    made.guidance = 0.0
    assert made.decode(features, SEEDS).equal(made.decode(-features, SEEDS)), "of the null condition alone"


@pytest.mark.parametrize("way", WAYS)
def test_dropped_conditions_say_nothing(way, tmp_path, features, pixels):
    made = detokenizer(tmp_path, "xl", way, drop=0.9999999).train()

    def losses() -> list[float]:
        return [made.loss(x, pixels, seeded()).item() for x in (features, -features)]

    assert losses()[0] == losses()[1]
    made.eval()
    assert losses()[0] != losses()[1], "validation drops nothing"


def test_the_share_that_is_dropped(tmp_path, monkeypatch):
    made = detokenizer(tmp_path, "xl", "cross_attention", drop=0.25).train()
    dropped = []

    def looks(noisy, steps, condition):
        assert condition.tokens.flatten(1).any(1).equal(condition.pooled.any(1)), "both or neither"
        dropped.extend(~condition.tokens.flatten(1).any(1))
        return noisy

    monkeypatch.setattr(made, "_predict", looks)
    monkeypatch.setattr("models.detokenizer.stable_diffusion.to_latents", lambda _, x, __: x[:, :, :12, :12])
    made.loss(torch.randn(400, 9, 8), torch.zeros(400, 3, 24, 24), seeded())
    assert 70 <= sum(dropped) <= 130


@pytest.mark.parametrize("version", UNETS)
def test_a_model_folder_stands_by_itself(version, tmp_path, features):
    made = detokenizer(tmp_path / "sd", version, WAYS[version == "2.1"], guidance=3.0)
    Illume(detokenizer=made).save_pretrained(str(tmp_path / "model"))
    shutil.rmtree(tmp_path / "sd")
    again = Illume.from_pretrained(str(tmp_path / "model")).detokenizer
    assert again.decode(features, SEEDS).equal(made.decode(features, SEEDS))
    empty = StableDiffusionDetokenizer.empty(made.config, "here").eval()
    empty.load_state_dict(made.state_dict())
    assert empty.decode(features, SEEDS).equal(made.decode(features, SEEDS))
    assert not any(p.requires_grad for p in empty.vae.parameters())


def test_sixteen_features_a_side_would_be_512_pixels(tmp_path):
    made = detokenizer(tmp_path, grid=2, image_size=64)
    assert made.decode(torch.randn(1, 4, 8), [0]).shape == (1, 3, 64, 64)
    assert StableDiffusionDetokenizer.__init__.__defaults__[:3] == (512, 1280, 16)


def test_attention_alone(tmp_path):
    for way, enters in (("cross_attention", "add_embedding"), ("concat", "conv_in")):
        made = detokenizer(tmp_path / way, "xl", way)
        made.train_attention_only()
        names = {name.split(".")[0] for name, p in made.unet.named_parameters() if p.requires_grad}
        assert names == {"down_blocks", "mid_block", "up_blocks", enters}
        within = [n for n, p in made.unet.named_parameters() if p.requires_grad and not n.startswith(enters)]
        assert within and all(".attn1." in name or ".attn2." in name for name in within)
        assert all(p.requires_grad for p in made.condition.parameters())


def test_the_vae_takes_so_many_images_at_a_time(tmp_path, features, pixels, monkeypatch):
    made, sizes = detokenizer(tmp_path, vae_batch=2), []
    for name in ("encode", "decode"):
        own = getattr(made.vae, name)
        monkeypatch.setattr(made.vae, name, lambda x, own=own: sizes.append(len(x)) or own(x))
    made.loss(features, pixels)
    made.decode(features, SEEDS)
    assert sizes == [2, 1, 2, 1]


def test_the_vae_is_kept_out_of_fp16_where_it_overflows(tmp_path):
    vae = detokenizer(tmp_path).vae
    latents = torch.randn(2, 4, 12, 12)
    exact = from_latents(vae, latents, 8)
    with torch.autocast("cpu", torch.float16):
        assert from_latents(vae, latents, 8).equal(exact)
        assert to_latents(vae, exact, 1).allclose(to_latents(vae, exact, 8), atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert not from_latents(vae, latents, 8).equal(exact)


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


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"image_size": 50}, "image_size 50 is no multiple of 4"),
        ({"condition": "text"}, "condition is one of cross_attention, concat, not 'text'"),
        ({"solver": "ddim"}, "solver is one of dpm, euler"),
        ({"drop": 1.0}, r"drop is in \[0, 1\)"),
        ({"guidance": -1.0}, "guidance in"),
        ({"steps": 0}, "are at least 1"),
        ({"grid": 13}, "13 x 13 features cannot be laid over 12 x 12 latents"),
        (
            {"unet": UNETS["1.5"] | {"in_channels": 9}},
            "takes 9 channels and gives 4, the VAE's latents have 4",
        ),
        ({"vae": VAE | {"latent_channels": 16}}, "the VAE's latents have 16"),
        ({"unet": UNETS["1.5"] | {"num_class_embeds": 7}}, "num_class_embeds 7, which features cannot serve"),
        ({"unet": UNETS["1.5"] | {"cross_attention_dims": 7}}, "did you mean cross_attention_dim"),
        (
            {"unet": UNETS["xl"] | {"projection_class_embeddings_input_dim": 24}},
            "no more than six sizes of 4",
        ),
        ({"scheduler": {"prediction_type": "flow"}}, "prediction_type is one of epsilon"),
        ({"scheduler": {"beta_sart": 1}}, "did you mean beta_start"),
    ],
)
def test_sizes_that_do_not_fit_are_one_line(change, line):
    recipe = {"unet": UNETS["1.5"], "vae": VAE, "scheduler": {}} | SIZES
    with torch.device("meta"), pytest.raises(ValueError, match=line):
        StableDiffusionDetokenizer(**recipe | change)


def test_features_and_images_of_other_sizes_are_one_line(tmp_path, features, pixels):
    made = detokenizer(tmp_path)
    with pytest.raises(ValueError, match="4 features of width 8, the detokenizer takes 3 x 3 of width 8"):
        made.decode(features[:, :4], SEEDS)
    with pytest.raises(ValueError, match="set data.init_args.image_size to 24"):
        made.loss(features, pixels[..., :20, :20])
