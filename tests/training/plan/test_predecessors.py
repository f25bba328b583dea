"""Predecessors that are not there are planned from their recipes."""

import train
from lightning_modules.encoder import EncoderModule
from lightning_modules.predecessor import Predecessors
from tests.tiny import error_of
from training.plan.predecessors import PlannedPredecessors


def test_a_folder_that_no_recipe_makes_is_one_line(capsys):
    gone = ("--model.init_args.start.all", "runs/nobody/model")
    line = error_of(capsys, "--config", "stage2.yaml", "--plan", *gone)
    assert "runs/nobody/model is not there, and no recipe makes it" in line


def test_a_missing_folder_is_planned_from_its_recipe_without_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stage = train.build_modules(["--config", "encoder.yaml"]).model
    assert isinstance(stage, EncoderModule) and type(stage.predecessors) is Predecessors
    predecessors = PlannedPredecessors(train.build_modules)
    predecessors.configure(stage)
    assert all(parameter.is_meta for parameter in stage.parameters())
    assert len(stage.text_tokenizer) == 600, "language.yaml's size; its shards are not here"
    folder = "runs/playground/language/model"
    assert list(predecessors.notes) == [f"{folder} is not there: planned from language.yaml, which makes it"]
    assert predecessors.load(stage, folder, "language").keys() == {"language"}
