"""Prompts are the model's own: in its folder, in training, in drawing and in what guidance is away from."""

import ast
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules.document_datamodule import Segmenter
from datamodules.templates import TemplateRequest
from models.document import Text
from models.generation import SamplingConfig
from models.prompts import ILLUME_PLUS, PLAYGROUND, Prompts, read_prompts
from models.unified import Illume
from tests.datamodules.test_templates import EDIT, PAIR
from tests.fixtures import make_tiny_illume

ROOT = Path(__file__).resolve().parents[2]
MAKERS = {f"{name}_document" for name in ("draw", "edit", "reconstruct", "describe", "assess", "redraw")}


def test_a_folder_holds_its_prompts(tmp_path: Path) -> None:
    model = make_tiny_illume()
    model.prompts = ILLUME_PLUS
    model.save_pretrained(str(tmp_path))
    again = Illume.from_pretrained(str(tmp_path))
    assert again.prompts == ILLUME_PLUS == again.sequencer.prompts


@pytest.mark.parametrize(
    ("template", "sample", "drop", "name"),
    [
        ("draw", PAIR, 0.0, "draw"),
        ("draw", PAIR, 1.0, "draw_null"),
        ("describe", PAIR, 0.0, "describe"),
        ("detail", PAIR, 0.0, "detail"),
        ("reconstruct", PAIR, 0.0, "reconstruct"),
        ("edit", EDIT, 0.0, "edit"),
        ("edit", EDIT, 1.0, "reconstruct"),
    ],
)
def test_training_uses_the_models_prompts(
    template: str, sample: dict[str, Any], drop: float, name: str
) -> None:
    model = make_tiny_illume()
    model.prompts = ILLUME_PLUS
    request = TemplateRequest(sample, 48, drop=drop, draw_size=48, prompts=ILLUME_PLUS)
    segment = Segmenter(model.sequencer, template, request, 2048, {})(sample, random.Random(0))
    filled = {"draw": "a red circle", "edit": "make it blue"}
    words = ILLUME_PLUS.fill(name, filled[name]) if name in filled else getattr(ILLUME_PLUS, name)
    asked = model.sequencer.encode_text(words)
    assert any(segment.ids[i : i + len(asked)] == asked for i in range(len(segment)))


def test_inference_and_null_prompts_are_the_models_own(monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = make_tiny_illume(), torch.zeros(1, 3, 48, 48, dtype=torch.uint8)
    model.prompts = ILLUME_PLUS
    said: list[str] = []
    segment = model.segment

    def heard(document: list, *rest: Any) -> Any:
        said.append(next(part.text for part in document if isinstance(part, Text)))
        return segment(document, *rest)

    monkeypatch.setattr(model, "segment", heard)
    model.draw_batch(["a cat"], [0])
    model.edit_batch(image, ["make it red"], [0], SamplingConfig(cfg=2.0))
    model.describe_batch(image, detail=True)
    model.assess_batch(image, ["a cat"], limit=1)
    assert said == [
        "Generate an image, the content of image is a cat",
        "Generate a random image",
        "Please edit the image according to the instruction: make it red",
        "Reconstruct the image according to the given image",
        ILLUME_PLUS.detail,
        ILLUME_PLUS.fill("assess", "a cat"),
    ]


def test_every_document_is_made_with_explicit_prompts() -> None:
    files = [
        path
        for path in ROOT.glob("[!.]*/**/*.py")
        if path.parts[len(ROOT.parts)] not in ("tests", "runs", "benchmarks")
    ]
    silent = []
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in MAKERS:
                names = [ast.unparse(one) for one in (*node.args, *(k.value for k in node.keywords))]
                if not any("prompts" in name for name in names):
                    silent.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert silent == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("illume_pluss", "here: the set of prompts 'illume_pluss' is not known: did you mean illume_plus?"),
        ({"draw": "draw it"}, "here.draw 'draw it' must hold {caption} once"),
        ({"draw": "{caption} {caption}"}, "must hold {caption} once"),
        ({"edit": "edit : {caption}"}, "must hold {instruction} once"),
        ({"describe": " "}, "here.describe must be some words, not ' '"),
        ({"describe": "{caption} ?"}, "here.describe '{caption} ?' holds {caption}, which nothing fills in"),
        ({"drawing": "x"}, "here has no setting 'drawing': did you mean draw?"),
        (["draw"], "here must be one of playground, illume_plus"),
    ],
)
def test_bad_prompts_are_refused_in_one_line(given: Any, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        read_prompts(given, where="here")


def test_sets_and_single_prompts_override() -> None:
    assert read_prompts("illume_plus") == ILLUME_PLUS and read_prompts(None) == PLAYGROUND
    mixed = read_prompts({"describe": "What is this?"}, ILLUME_PLUS)
    assert mixed.describe == "What is this?" and mixed.draw == ILLUME_PLUS.draw
    assert Prompts().fill("draw", "a {caption} of {x}") == "draw : a {caption} of {x}"


def test_playground_prompts_are_unchanged() -> None:
    assert Prompts().texts == [
        "draw : {caption}",
        "draw a random image",
        "describe the image",
        "describe the image in detail",
        "edit the image : {instruction}",
        "reconstruct the image",
        "does the image show : {caption} ?",
        "draw it again : {caption}",
    ]
