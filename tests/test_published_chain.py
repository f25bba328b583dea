"""The recipes of the paper's scale with tiny published models: a CLIP and a Llama on disk, from tokenizer to stage 3."""

from pathlib import Path

import huggingface_hub
import pytest
import torch
import yaml

import train
from lightning_modules.language import LanguageModule
from models.document import draw_document
from models.export import main as export
from models.generation import SamplingConfig
from models.language.drawing import draw_codes
from models.unified import Illume
from tests.cut_off import cut_off
from tests.fixtures import tiny_illume
from tests.models.language.test_pretrained import publish as publish_language
from tests.models.tokenizer.test_pretrained_encoder import publish as publish_encoder
from training.configs import CONFIGS
from worlds.playground import shards

__all__ = ["tiny_illume"]
QUIET = [
    "--checkpoint.every_n_steps",
    "2",
    "--trainer.log_every_n_steps",
    "1",
    "--trainer.enable_progress_bar=false",
]
HERE = {  # what of a recipe must be smaller here; all else is the recipe's own
    "trainer": {
        "accelerator": "cpu",
        "devices": 1,
        "strategy": "auto",
        "precision": "32-true",
        "max_steps": 3,
        "accumulate_grad_batches": 1,
    },
}
PAIRS = "runs/playground/data/pairs"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A little data, and two published models."""
    folder = tmp_path_factory.mktemp("published")
    shards.main(["--out", str(folder / "runs/playground/data"), "--scale", "0.002", "--workers", "1"])
    publish_encoder(folder / "clip", "clip_vision_model")
    publish_language(folder / "vicuna", template=None)
    return folder


def lay(stage, model, data):
    """A config over the recipe of a stage."""
    config = {"model": {"init_args": model}, "data": {"init_args": data}} | HERE
    Path(f"small_{stage}.yaml").write_text(yaml.safe_dump({"extends": [f"illume_7b/{stage}.yaml"]} | config))
    return ["--config", f"small_{stage}.yaml", *QUIET]


SOURCES = {"draw": "draw", "understand": "describe", "captions": "describe", "reconstruct": "reconstruct"}
SOURCES |= {"instructions": "describe", "edits": "reconstruct", "text": "describe"}


def documents(stage):
    """The sources of the recipe's mixture, on the playground's pairs."""
    mixture = yaml.safe_load((CONFIGS / f"mixtures/{stage}.yaml").read_text())
    names = mixture["data"]["init_args"]["sources"]
    sources = {
        name: {"shards": PAIRS, "template": SOURCES[name], "weight": source["weight"]}
        for name, source in names.items()
    }
    size = {"sequence_length": 256, "sequences_per_batch": 2, "batches_per_epoch": 3, "val_batches": 1}
    return {"sources": sources, "workers": 0, **size}


def test_each_stage_trains_saves_resumes_and_draws(world, monkeypatch):
    monkeypatch.chdir(world)
    pictures = {"shards": PAIRS, "val": f"{PAIRS}/val", "image_size": 28, "batch_size": 4}
    pictures |= {"batches_per_epoch": 3, "val_batches": 1, "workers": 0}
    encoder = {"path": "clip", "image_size": 28}
    small = {"codes": 64, "decoder_layers": 1, "heads": 2}
    train.main(lay("tokenizer", {"encoder": encoder, "tokenizer": small}, pictures))
    language = {"path": "vicuna", "turns": "vicuna"}
    train.main(lay("stage1", {"language": language}, documents("stage1") | {"image_size": 28}))
    train.main(lay("stage2", {}, documents("stage2") | {"image_size": 28}))
    larger = {"understanding": {"image_size": 56, "reduce": 2}, "slicing": {"max_slices": 4, "size": 56}}
    whole = train.main(lay("stage3", larger, documents("stage3") | {"image_size": 56}))
    parts = Illume.from_pretrained(str(whole.folder / "model"))
    assert (parts.understanding_encoder.image_size, parts.encoder.image_size) == (56, 28)
    assert parts.understanding_encoder.tokens == parts.encoder.tokens == 16
    moved = parts.understanding_encoder.model.state_dict(), parts.encoder.model.state_dict()
    assert any(not torch.equal(moved[0][name], moved[1][name]) for name in moved[1])
    goes_on_where_it_was_cut(lay("stage3", larger, documents("stage3") | {"image_size": 56}), whole)
    prompt, null = (parts.segment(draw_document(caption)) for caption in ("a red circle", None))
    codes = draw_codes(parts.language, [prompt], [null], [1], SamplingConfig(2.0))
    assert codes.shape == (1, 16)
    rates = yaml.safe_load((whole.folder / "config.yaml").read_text())["model"]["init_args"]["learning_rates"]
    assert rates["understanding_encoder"] == 2e-6 and rates["trunk"] == 2e-5


def goes_on_where_it_was_cut(arguments, whole):
    with cut_off(LanguageModule, 2):
        train.main([*arguments, "--name", "cut"])
    again = train.main([*arguments, "--name", "cut"])
    assert again.resume.step == 2
    assert (again.folder / "metrics.csv").read_text() == (whole.folder / "metrics.csv").read_text()


def test_a_recipe_with_missing_files_or_wrong_settings_is_refused(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # it would try for half a minute
    pictures = {"shards": PAIRS, "val": f"{PAIRS}/val", "image_size": 28, "batch_size": 4, "workers": 0}
    for encoder, wanted in (
        ({"path": "clop"}, "clop is no folder here"),
        ({"path": "clip", "image_sice": 28}, "no setting 'image_sice': did you mean image_size?"),
        ({"path": None, "image_size": 28}, "lacks `path`"),
    ):
        arguments = lay("tokenizer", {"encoder": encoder}, pictures)
        with pytest.raises(SystemExit) as stop:
            train.main([*arguments, "--name", "wrong"])
        assert stop.value.code == 2
        assert wanted in capsys.readouterr().err


def test_a_detokenizer_of_another_tokenizer_is_refused(tiny_illume, tmp_path, capsys):
    tiny_illume.save_pretrained(str(tmp_path / "one"))
    bare = Illume(
        tiny_illume.encoder, tiny_illume.tokenizer, None, tiny_illume.language, tiny_illume.text_tokenizer
    )
    bare.save_pretrained(str(tmp_path / "bare"))
    arguments = ["--model", str(tmp_path / "bare"), "--detokenizer", str(tmp_path / "one")]
    export([*arguments, "--out", str(tmp_path / "out")])
    assert Illume.from_pretrained(str(tmp_path / "out")).detokenizer is not None
    with torch.no_grad():
        tiny_illume.tokenizer.quantizer.table.add_(1)
    tiny_illume.save_pretrained(str(tmp_path / "one"))
    with pytest.raises(SystemExit) as stop:
        export([*arguments, "--out", str(tmp_path / "other")])
    assert stop.value.code == 2 and "codes of another tokenizer" in capsys.readouterr().err
