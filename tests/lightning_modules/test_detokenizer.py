"""configs/illume_7b/detokenizer.yaml on tiny folders: it trains, is cut, goes on without them, and exports."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import train
from common.images import open_image
from datamodules.image_datamodule import ImageDataModule
from lightning_modules.component_configs import DetokenizerConfig
from lightning_modules.detokenizer import DetokenizerModule
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.semantic import SemanticTokenizer
from models.unified import Illume
from tests.cut_off import cut_off
from tests.datamodules.tars import write_samples
from tests.tiny import error_of
from tests.tiny_stable_diffusion import save_stable_diffusion
from training.metrics_file import read_rows

HERE = [
    "--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.strategy=auto", "--trainer.max_steps=3",
    "--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false", "--checkpoint.every_n_steps=1",
    "--speed.peak_tflops=0", "--model.init_args.tokenizer=tokenizer", "--data.init_args.shards=data",
    "--data.init_args.val=data", "--data.init_args.batch_size=2", "--data.init_args.batches_per_epoch=3",
    "--data.init_args.val_batches=1", "--data.init_args.workers=0", "--data.init_args.readers=1",
    "--data.init_args.image_size=24", "--model.init_args.detokenizer.image_size=24",
    "--model.init_args.detokenizer.steps=2", "--model.init_args.detokenizer.path=sd",
]  # fmt: skip


def picture(seed: int, size: tuple[int, int] = (24, 24)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tokenizer's model folder and a few images."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    encoder = VisionEncoder(image_size=24, width=32, layers=1, heads=2)
    tokenizer = SemanticTokenizer(
        feature_width=32, tokens=9, codes=16, code_width=4, decoder_layers=1, heads=2
    )
    Illume(encoder=encoder, tokenizer=tokenizer).save_pretrained("tokenizer")
    write_samples(tmp_path / "data/0.tar", {str(i): {"png": picture(i), "txt": b"noise"} for i in range(8)})
    return tmp_path


def rows(run: object) -> list[dict[str, str]]:
    return read_rows(run.folder / "metrics.csv")[1]


@pytest.mark.parametrize(
    ("version", "way", "settings"),
    [
        ("1.5", "cross_attention", ["--model.init_args.ema=0.9"]),
        (
            "2.1",
            "concat",
            ["--model.init_args.learns=attention", "--trainer.precision=bf16-mixed"],
        ),
        ("xl", "concat", ["--trainer.accumulate_grad_batches=2"]),
    ],
)
def test_it_trains_is_cut_goes_on_and_draws(version, way, settings, world):
    save_stable_diffusion(world / "sd", version)
    precision = [] if "precision" in str(settings) else ["--trainer.precision=32-true"]
    given = ["--config", "illume_7b/detokenizer.yaml", *HERE, *precision, *settings]
    given += [f"--model.init_args.detokenizer.condition={way}"]
    whole = train.main([*given, "--name", "whole"])
    assert whole.trainer.global_step == 3 and whole.model.model.detokenizer.unet.is_gradient_checkpointing

    with cut_off(DetokenizerModule, 2):
        train.main(given)
    for folder in ("sd", "tokenizer"):
        (world / folder).rename(world / f"{folder}.away")
    again = train.main(given)  # a checkpoint needs neither
    assert again.resume.step in (1, 2) and rows(again) == rows(whole)

    learning = {id(p) for p in again.model.parameters() if p.requires_grad}
    assert {id(p) for group in again.trainer.optimizers[0].param_groups for p in group["params"]} == learning
    vae = {id(p) for p in again.model.model.detokenizer.vae.parameters()}
    assert vae and not vae & learning

    saved = Illume.from_pretrained(str(again.folder / "model"))
    images = saved.decode(torch.arange(9).view(1, 9), [0])
    assert images.shape == (1, 3, 24, 24)
    kept = torch.load(again.folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    conv = saved.detokenizer.unet.conv_out.weight
    if "ema" in str(settings):
        assert kept["ema.module.conv_out.weight"].equal(conv), "what is exported is the average"
        assert not kept["model.detokenizer.unet.conv_out.weight"].equal(conv), "what goes on training is not"
    else:
        assert not any(name.startswith("ema.") for name in kept)
        assert kept["model.detokenizer.unet.conv_out.weight"].equal(conv)


@pytest.mark.parametrize("stem", [True, False])
def test_the_playground_s_detokenizer_goes_on_training_what_is_not_its_average(stem, world):
    unet = {"block_out_channels": [8, 16], "norm_num_groups": 4}
    small = json.dumps({"unet": unet, "condition_width": 4, "stem": stem})
    ours = [word for word in HERE if "detokenizer" not in word]
    given = [
        "--config",
        "detokenizer.yaml",
        *ours,
        "--trainer.callbacks=[]",
        "--model.init_args.stem_steps=1",
    ]
    run = train.main([*given, f"--model.init_args.detokenizer={small}", "--name", f"stem{stem}"])
    assert [bool(row.get("train/loss_stem")) for row in rows(run)][0] == stem and run.trainer.global_step == 3
    assert len(run.trainer.optimizers) == 1 + stem and run.model.automatic_optimization != stem
    kept = torch.load(run.folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    average, own = kept["ema.module.conv_out.weight"], kept["model.detokenizer.unet.conv_out.weight"]
    exported = Illume.from_pretrained(str(run.folder / "model")).detokenizer.unet.conv_out.weight
    assert exported.equal(average) and not average.equal(own)


def module(world: Path, **settings: object) -> DetokenizerModule:
    sizes = {"path": str(world / "sd"), "image_size": 24} | settings.pop("sizes", {})
    return DetokenizerModule(tokenizer="tokenizer", detokenizer=DetokenizerConfig(**sizes), **settings)


def test_codes_are_those_of_inference_where_the_detokenizer_s_images_are_larger(world, monkeypatch):
    """512 pixels to rebuild, of codes that are made at 224, straight from the file."""
    save_stable_diffusion(world / "sd", "1.5")
    photos = [picture(i, (150, 110)) for i in range(2)]
    write_samples(world / "photos/0.tar", {str(i): {"png": photo} for i, photo in enumerate(photos)})
    stage = module(world, sizes={"image_size": 96})
    stage.configure_model()
    data = ImageDataModule(
        "photos", "photos", 96, 2, batches_per_epoch=1, val_batches=1, workers=0, readers=1
    )
    data.trainer = SimpleNamespace(lightning_module=stage)
    data.setup()
    (batch,) = data.train_dataloader()
    model = Illume.from_pretrained("tokenizer")
    squares = torch.stack([model.code_input(open_image(photo)) for photo in photos])
    codes = []
    encode = stage.model.tokenizer.encode
    monkeypatch.setattr(stage.model.tokenizer, "encode", lambda f: codes.append(encode(f)) or codes[-1])
    monkeypatch.setattr(stage, "log_dict", lambda *_, **__: None)
    monkeypatch.setattr(DetokenizerModule, "global_step", 0)
    stage.training_step(batch).backward()
    assert batch.images.shape == (2, 3, 96, 96)
    assert sorted(batch.code_images.tolist()) == sorted(squares.tolist())
    assert sorted(codes[0].tolist()) == sorted(model.encode(squares).tolist())
    assert stage.model.detokenizer.unet.conv_in.weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"sizes": {"grid": 4}}, "detokenizer.grid is 4, the encoder's in tokenizer is 3: leave it out"),
        ({"sizes": {"feature_width": 64}}, "feature_width is 64, the encoder's in tokenizer is 32"),
        ({"sizes": {"image_size": 48}}, "images are 24 x 24, the detokenizer makes 48 x 48"),
    ],
)
def test_sizes_that_disagree_are_told_before_anything_is_loaded(settings, line, world):
    stage = module(world, **settings)  # there is no folder sd at all
    stage._trainer = SimpleNamespace(
        datamodule=SimpleNamespace(image_size=24),
        default_root_dir="run",
        is_global_zero=False,
        ckpt_path=None,
    )
    with pytest.raises(ValueError, match=line):
        stage.configure_model()


def test_only_stable_diffusion_can_learn_by_attention_alone(world):
    stage = DetokenizerModule(tokenizer="tokenizer", learns="attention")
    with pytest.raises(ValueError, match="published Stable Diffusion: give detokenizer.path"):
        stage.configure_model()


def test_a_folder_that_is_none_is_one_line(world, capsys):
    (world / "sd").mkdir()
    given = ["--config", "illume_7b/detokenizer.yaml", *HERE, "--trainer.precision=32-true"]
    assert "sd is no Stable Diffusion: there is no scheduler/scheduler_config.json in it" in error_of(
        capsys, *given
    )
    assert not (world / "runs").exists(), "nothing is left behind"
