"""The hook of self-enhancement: its settings in YAML, and what it needs of a stage. Whole runs: tests/test_stages.py."""

from types import SimpleNamespace

import pytest
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback

from callbacks.self_enhancement import SelfEnhancement
from common.setting_errors import setting_errors
from evals.settings import PlaygroundSettings
from judges.open_ai import OpenAIJudge
from judges.scene import SceneJudge
from models.generation import SamplingConfig
from self_enhancement.settings import RoundSettings


def parsed(**settings):
    parser = ArgumentParser(exit_on_error=False, parser_mode="omegaconf+")
    parser.add_argument("--callback", type=Callback)
    callback = {"class_path": "callbacks.self_enhancement.SelfEnhancement", "init_args": settings}
    with setting_errors():
        return parser.instantiate(parser.parse_object({"callback": callback})).callback


def test_settings_are_read_from_yaml():
    made = parsed(
        round={"prompts": ["a", "b"], "count": 8, "sampling": {"temperature": 0.5}},
        evaluate={"per_category": 1},
        judge={"class_path": "OpenAIJudge", "init_args": {"model": "m", "tries": 2}},
    )
    sampling = SamplingConfig(temperature=0.5)
    assert made.loop.settings == RoundSettings(["a", "b"], count=8, sampling=sampling)
    assert made.evaluate == PlaygroundSettings(per_category=1)
    assert isinstance(made.loop.judge, OpenAIJudge) and made.loop.judge.tries == 2
    assert isinstance(parsed(round={"prompts": "a"}).loop.judge, SceneJudge)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (
            {"round": {"prompts": "a", "cuont": 8}},
            "callback.round has no setting 'cuont': did you mean count",
        ),
        ({"round": {"prompts": "a", "count": "x"}}, "callback.round.count must be int, not x"),
        ({"round": {"prompts": "a", "count": 10, "draws": 3}}, "10 drawings cannot have 3 of each prompt"),
        ({"round": {"prompts": "a", "sampling": {"cfg": 200}}}, "cfg 200.* is out of range"),
        ({"round": {"prompts": "a"}, "judge": "Callback"}, "judge"),
        ({"round": {"prompts": "a"}, "rounds": 0}, "every_n_epochs and rounds are at least 1"),
        ({"round": {"prompts": "a"}, "share": 1.0}, "share 1.0 is out of range"),
    ],
    ids=str,
)
def test_wrong_settings_are_named(settings, named):
    with pytest.raises(ValueError, match=named):
        parsed(**settings)


def test_a_stage_without_documents_is_refused():
    with pytest.raises(ValueError, match="needs a DocumentDataModule"):
        SelfEnhancement(RoundSettings("a")).on_fit_start(SimpleNamespace(datamodule=None), None)
