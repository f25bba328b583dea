"""Sampling settings live in the model folder, are laid over by who asks, and are refused where they make no sense."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from models.generation import PLAYGROUND, Generation, SamplingConfig, read_generation
from models.model_folder import load_components
from models.prompts import ILLUME_PLUS, Prompts
from models.unified import Illume
from tests.fixtures import make_tiny_illume

ROOT = Path(__file__).resolve().parents[2]
OWN = {"draw": {"cfg": 3.0, "temperature": 0.9, "top_k": 7, "top_p": 0.95}, "edit": {"cfg": 2.0, "top_k": 5}}


def asked(model: Illume, monkeypatch: pytest.MonkeyPatch) -> list[SamplingConfig]:
    """The settings with which codes are drawn from here on; the codes are all the same."""
    seen: list[SamplingConfig] = []

    def draw_codes(language: Any, prompts: list, *rest: Any) -> torch.Tensor:
        seen.append(rest[-1])
        return torch.zeros(len(prompts), language.draw_tokens, dtype=torch.long)

    monkeypatch.setattr("models.document_model.draw_codes", draw_codes)
    return seen


def test_a_model_draws_and_edits_as_its_folder_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_tiny_illume()
    model.generation = model.generation.override(OWN)
    model.save_pretrained(str(tmp_path / "model"))
    again, images = (
        Illume.from_pretrained(str(tmp_path / "model")),
        torch.zeros(1, 3, 48, 48, dtype=torch.uint8),
    )
    assert again.generation == model.generation == read_generation(tmp_path / "model")
    seen = asked(again, monkeypatch)
    again.draw_batch(["a red circle"], [0])
    again.redraw_batch(images, ["a red circle"], ["no"], [0])
    again.edit_batch(images, ["blue"], [0])
    again.draw_batch(["a red circle"], [0], SamplingConfig(cfg=1.0, top_k=0))
    used = [(3.0, 0.9, 7, 0.95), (3.0, 0.9, 7, 0.95), (2.0, 0.3, 5, 1.0), (1.0, 0.9, 0, 0.95)]
    assert seen == [SamplingConfig(*settings) for settings in used]


def test_a_folder_without_settings_is_the_playgrounds(tmp_path: Path) -> None:
    make_tiny_illume().save_pretrained(str(tmp_path))
    top = json.loads((tmp_path / "illume.json").read_text())
    del top["generation"], top["prompts"]
    (tmp_path / "illume.json").write_text(json.dumps(top))
    model = Illume.from_pretrained(str(tmp_path))
    assert (model.generation, model.prompts) == (PLAYGROUND, Prompts())
    assert PLAYGROUND.draw == SamplingConfig(1.25, 0.6, 0, 1.0)
    assert PLAYGROUND.edit == SamplingConfig(1.0, 0.3, 0, 1.0)


def test_the_shipped_folder_states_its_settings() -> None:
    top = json.loads((ROOT / "pretrained/playground/illume.json").read_text())
    assert top["generation"] == PLAYGROUND.to_dict() and top["prompts"] == Prompts().to_dict()


def test_paper_configs_use_illume_plus_settings() -> None:
    said = yaml.safe_load((ROOT / "configs/illume_7b/stage1.yaml").read_text())["model"]["init_args"]
    made = PLAYGROUND.override(said["generation"])
    assert made.draw == SamplingConfig(2.0, 1.0, 2048, 1.0) and made.edit == SamplingConfig(
        1.25, 0.7, 512, 0.8
    )
    assert said["prompts"] == "illume_plus" and "image" in ILLUME_PLUS.draw_null


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"draw": {"cfg": 101}}, "here.draw.cfg 101 is out of range: from 0 to 100"),
        ({"draw": {"cfg": float("nan")}}, "here.draw.cfg nan is out of range"),
        ({"draw": {"cfg": True}}, "here.draw.cfg True is out of range"),
        ({"draw": {"temperature": -1}}, "here.draw.temperature -1 is out of range: from 0 to 10"),
        ({"edit": {"top_k": 2.5}}, "here.edit.top_k 2.5 is out of range: a whole number from 0"),
        ({"edit": {"top_p": 0}}, "here.edit.top_p 0 is out of range: above 0 and at most 1"),
        ({"edit.top_p": 2}, "here.edit.top_p 2 is out of range"),
        ({"draw": {"topk": 5}}, "here.draw has no setting 'topk': did you mean top_k?"),
        ({"drew": {"cfg": 2}}, "here has no setting 'drew': did you mean draw?"),
        ({"draw": 2}, "here.draw must hold 'key: value' lines, not 2"),
        ({"max_new_tokens": {"chat": 0}}, "here.max_new_tokens.chat 0 is out of range"),
    ],
)
def test_bad_settings_are_refused_by_key(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as printed:
        Generation().override(given, "here")
    assert "\n" not in str(printed.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"top_k": 65}, "top_k 65 is out of range: this model has 64 codes"),
        ({"cfg": 101.0}, "cfg 101.0 is out of range"),
        ({"temperature": float("nan")}, "temperature nan is out of range"),
        ({"top_p": 0.0}, "top_p 0.0 is out of range"),
    ],
)
def test_drawing_checks_its_sampling(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_tiny_illume().draw_batch(["red", "blue"], [0, 1], SamplingConfig(**given))


def test_a_wrong_setting_of_a_folder_names_the_file(tmp_path: Path) -> None:
    make_tiny_illume().save_pretrained(str(tmp_path))
    top = json.loads((tmp_path / "illume.json").read_text())
    top["generation"]["draw"]["top_p"] = 3
    (tmp_path / "illume.json").write_text(json.dumps(top))
    with pytest.raises(ValueError, match=r"illume\.json: generation\.draw\.top_p 3 is out of range"):
        Illume.from_pretrained(str(tmp_path))


def test_a_run_folder_is_refused_with_a_hint_at_its_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "illume.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="it is a run, and its model folder is .*model"):
        read_generation(tmp_path)
    with pytest.raises(FileNotFoundError, match="it is a run"):
        load_components(str(tmp_path))


@pytest.mark.parametrize("cfg", [-1.0, 1000.0])
def test_guidance_out_of_range_is_refused(illume, cfg):
    with pytest.raises(ValueError, match="out of range"):
        illume.draw_batch(["red"], [0], SamplingConfig(cfg=cfg))
