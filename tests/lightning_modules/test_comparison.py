"""The comparison with its real config: equal beginnings, equal images, independent arms, exact resume, the figure."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

import train
from judges.pixels import render_scenes
from lightning_modules.comparison import TokenizerComparison
from models.detokenizer.pixel import PixelDecoder
from models.tokenizer.pixel import PixelTokenizer
from models.unified import Illume
from tests.cut_off import cut_off
from tests.fixtures import TRUNK, tiny_illume
from worlds.playground import shards
from worlds.playground.sampler import sample_scene

__all__ = ["tiny_illume"]
RUNS = "runs/playground"
RATES = {"trunk": 1e-2, "text": 1e-2, "vision": 1e-2}


def scenes() -> torch.Tensor:
    """Images on which a codebook can begin, so that codes of an image differ."""
    rng = np.random.default_rng(0)
    return render_scenes([sample_scene(rng, "counting") for _ in range(8)])


def pixel_twin(model: Illume, codes: int = 64, image_size: int = 48) -> Illume:
    """The model with a pixel tokenizer in place."""
    tokenizer = PixelTokenizer(image_size, 32, layers=1, heads=2, codes=codes, code_width=8, decoder_layers=1)
    if image_size == 48:
        features = tokenizer.eval().encoder(scenes())
        tokenizer.body.train()(features)
    return Illume(encoder=model.encoder, tokenizer=tokenizer, detokenizer=PixelDecoder(32, image_size // 8))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    shards.main(["--out", str(folder), "--scale", "0.001", "--workers", "1"])
    return folder


@pytest.fixture
def world(data, tiny_illume, tmp_path, monkeypatch):
    """A folder with what ablations/figure6.yaml starts from, all of it small."""
    monkeypatch.chdir(tmp_path)
    Path(RUNS).mkdir(parents=True)
    Path(RUNS, "data").symlink_to(data)
    Illume(text_tokenizer=tiny_illume.text_tokenizer).save_pretrained(f"{RUNS}/language/model")
    tiny_illume.tokenizer.train()(tiny_illume.features(scenes()))
    tiny_illume.save_pretrained(f"{RUNS}/detokenizer/model")
    pixel_twin(tiny_illume).save_pretrained(f"{RUNS}/pixel_tokenizer/model")
    return tmp_path


def arguments(*more: str) -> list[str]:
    trunk = [f"--model.trunk.{name}={value}" for name, value in TRUNK.items()]
    data = {"sequences_per_batch": 2, "batches_per_epoch": 3, "val_batches": 1, "workers": 0}
    return [
        "--config", "ablations/figure6.yaml", *trunk, *[f"--data.{k}={v}" for k, v in data.items()],
        "--trainer.callbacks.per_category=1", "--trainer.max_steps=5", "--trainer.log_every_n_steps=1",
        "--trainer.enable_progress_bar=false", "--checkpoint.every_n_steps=2", *more,
    ]  # fmt: skip


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv") as file:
        return list(csv.DictReader(file))


def weights(model: Illume) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.language.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_both_arms_learn_on_equal_images_are_cut_and_go_on(world):
    whole = train.main(arguments("--name=whole"))
    with cut_off(TokenizerComparison, 3):
        train.main(arguments())
    again = train.main(arguments())
    assert again.resume.step == 2
    logged = rows(again.folder)
    assert logged == rows(whole.folder)
    for name, start in (("semantic", "detokenizer"), ("pixel", "pixel_tokenizer")):
        assert [float(r["images"]) for r in logged if r[f"val/loss_draw_{name}"]] == [24.0]
        assert [float(r["images"]) for r in logged if r[f"geneval/overall_{name}"]] == [24.0, 40.0]
        assert len([r for r in logged if r[f"train/loss_draw_{name}"]]) == 5
        validated = next(r for r in logged if r[f"val/loss_draw_{name}"])
        share = float(validated[f"val/loss_draw_{name}"]) / float(validated[f"val/entropy_{name}"])
        assert float(validated[f"val/loss_share_{name}"]) == pytest.approx(share, rel=1e-5)
        exported = Illume.from_pretrained(str(again.folder / "model" / name))
        assert equal(weights(exported), weights(again.model.branches[name]))
        tokenizer = Illume.from_pretrained(f"{RUNS}/{start}/model", ["tokenizer"]).tokenizer
        assert equal(tokenizer.state_dict(), exported.tokenizer.state_dict()), "it does not learn here"
    assert (again.folder / "figure6.svg").read_text() == (whole.folder / "figure6.svg").read_text()


def test_an_arm_learns_what_it_would_have_learned_alone(world):
    both = train.main(arguments("--name=both", "--trainer.callbacks=[]"))
    only = f"--model.branches={{semantic: {RUNS}/detokenizer/model}}"
    alone = train.main(arguments("--name=alone", "--trainer.callbacks=[]", only))
    semantic, pixel = (weights(arm) for arm in both.model.branches.values())
    assert equal(semantic, weights(alone.model.branches["semantic"])) and not equal(semantic, pixel)


def test_arms_begin_alike_and_only_named_parts_learn(world):
    module = TokenizerComparison(
        {"a": f"{RUNS}/detokenizer/model", "b": f"{RUNS}/pixel_tokenizer/model"},
        f"{RUNS}/language/model", TRUNK, {"trunk": 1e-2},
    )  # fmt: skip
    module.configure_model()
    a, b = module.branches["a"], module.branches["b"]
    assert equal(weights(a), weights(b)) and a.language is not b.language
    learning = {name.split(".")[3] for name, p in module.named_parameters() if p.requires_grad}
    assert learning == {"trunk"}
    for _ in range(2):
        assert [a.language.training, a.tokenizer.training, b.tokenizer.training] == [True, False, False]
        module.train()


@pytest.mark.parametrize(
    ("sizes", "printed"),
    [
        ({"codes": 32}, "writes 64 codes, the tokenizer has 32"),
        ({"image_size": 24}, "a drawing is 36 codes long, the tokenizer's image 9"),
    ],
)
def test_tokenizers_of_unequal_size_are_refused(world, tiny_illume, sizes, printed):
    pixel_twin(tiny_illume, **sizes).save_pretrained(f"{RUNS}/pixel_tokenizer/model")
    module = TokenizerComparison(
        {"a": f"{RUNS}/detokenizer/model", "b": f"{RUNS}/pixel_tokenizer/model"},
        f"{RUNS}/language/model", TRUNK, RATES,
    )  # fmt: skip
    with pytest.raises(ValueError, match=printed):
        module.configure_model()


def test_a_missing_arm_names_the_command_that_makes_it(world, capsys):
    arms = "--model.branches={pixel: runs/playground/pixel_tokenizer/modal}"
    with pytest.raises(SystemExit):
        train.main(arguments("--name=missing", arms))
    assert "python train.py --config pixel_tokenizer.yaml" in capsys.readouterr().err
