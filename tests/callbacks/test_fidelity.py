"""FID, KID and rFID during training, by torchmetrics, on a small network in Inception's place."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import train
from callbacks import fidelity
from callbacks.fidelity import Fidelity
from evals.fidelity.frechet import frechet_distance
from evals.image_sets import image_files
from models.unified import Illume
from tests.evals.fidelity.small_network import Small, paint, small_extractor
from tests.fixtures import FixedStage
from tests.tiny import BASE, write


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    """A folder of images and a file of prompts, and the network that stands in Inception's place."""
    monkeypatch.chdir(tmp_path)
    paint(Path("data/real"), [f"{i:03d}.png" for i in range(12)], 0, sizes=(60, 50))
    Path("data/prompts.txt").write_text("".join(f"a red circle {i}\n" for i in range(6)))
    extractor = small_extractor()
    for name, stand_in in {
        "torch_fidelity": lambda: None,
        "check_weights": lambda path: "",
        "load_inception": lambda *_: extractor,
    }.items():
        monkeypatch.setattr(fidelity, name, stand_in)
    return extractor.network


def callback(**settings: Any) -> Fidelity:
    return Fidelity(**{"real": Path("data/real"), "inception": Path("w.pth"), "batch": 5, **settings})


@torch.no_grad()
def features(images: list[Tensor]) -> Tensor:
    return Small()(torch.stack(images))[0]


def test_drawings_and_reconstructions_are_compared_with_real_images(
    small: Small, tiny_illume: Illume
) -> None:
    metrics = callback(prompts="data/prompts.txt", seed=2)
    found = metrics.scores(FixedStage(tiny_illume))
    assert set(found) == {"val/fid", "val/kid", "val/rfid", "val/rkid"}
    real = [file.square(tiny_illume.encoder.image_size) for file in image_files(Path("data/real"))]
    seeds = [2_000_006 + i for i in range(12)]
    drawn = tiny_illume.draw_batch([f"a red circle {i}" for i in range(6)], seeds[:6])
    rebuilt = tiny_illume.decode(tiny_illume.encode(torch.stack(real)), seeds)
    for name, images in {"val/fid": drawn, "val/rfid": rebuilt}.items():
        assert found[name] == pytest.approx(
            frechet_distance(features(list(images)), features(real)), rel=1e-3
        )
    assert small.seen == 12 + 6 + 12  # the two metrics share what passes through the network
    assert metrics.scores(FixedStage(tiny_illume)) == pytest.approx(found)
    assert small.seen == 30 + 18  # real images pass it once in a run


def test_a_stage_is_measured_in_what_it_can_draw(small: Small, tiny_illume: Illume) -> None:
    decodes = Illume(tiny_illume.encoder, tiny_illume.tokenizer, tiny_illume.detokenizer)
    assert set(callback(prompts="data/prompts.txt").scores(FixedStage(decodes))) == {
        "val/rfid",
        "val/rkid",
    }
    assert set(callback().scores(FixedStage(tiny_illume))) == {"val/rfid", "val/rkid"}
    with pytest.raises(ValueError, match="Fidelity cannot work on this stage, whose model has no encoder"):
        callback().scores(FixedStage(Illume(language=tiny_illume.language)))


def test_wrong_settings_are_refused_before_training(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="there is no none"):
        callback(real=Path("none"))
    with pytest.raises(FileNotFoundError, match="no prompt file none"):
        callback(prompts="none")
    with pytest.raises(ValueError, match="2 images and 2 prompts"):
        callback(limit=1)

    def wrong(path: Path) -> str:
        raise ValueError(f"{path} is not what its name says")

    monkeypatch.setattr(fidelity, "check_weights", wrong)
    with pytest.raises(ValueError, match=r"w.pth is not what its name says"):
        callback()


def test_the_config_is_laid_over_a_stage(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    for hook in ("on_fit_start", "on_train_start"):  # which would refuse this stage, as it makes no images
        monkeypatch.setattr(Fidelity, hook, lambda *_: None)
    monkeypatch.setattr(Fidelity, "scores", lambda *_: {})
    write("base.yaml", BASE)
    run = train.main(["--config", "base.yaml", "--config", "fid.yaml", "--trainer.max_steps", "2"])
    (found,) = (one for one in run.trainer.callbacks if isinstance(one, Fidelity))
    assert (len(found.files), len(found.prompts), found.every_n_epochs) == (12, 6, 1)
