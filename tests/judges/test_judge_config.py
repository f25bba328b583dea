"""Judges from YAML files: only judges can be named there, and every mistake is named."""

import json

import pytest

from judges.ensemble import EnsembleJudge
from judges.judge_config import read_judge
from judges.scene import SceneJudge


def judge_of(tmp_path, content):
    path = tmp_path / "judge.yaml"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_judge(str(path))


@pytest.mark.parametrize(
    "content",
    [
        {"class_path": "SceneJudge"},
        {"class_path": "judges.scene.SceneJudge", "init_args": {}},
        "\ufeffclass_path: SceneJudge\r\ninit_args:\r\n",
    ],
    ids=str,
)
def test_short_and_full_names_are_read(tmp_path, content):
    assert isinstance(judge_of(tmp_path, content), SceneJudge)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", "must hold the lines class_path"),
        ("[1]", "must hold the lines class_path"),
        ("scene", "must hold the lines class_path"),
        ({"class_path": "os.SceneJudge"}, "Importing 'os.SceneJudge' is not allowed"),
        ({"class_path": "os.system"}, "Importing 'os.system' is not allowed"),
        ({"class_path": "json.loads"}, "json.loads does not correspond to a subclass of Judge"),
        ({"class_path": "json.SceneJudge"}, "module 'json' has no attribute 'SceneJudge'"),
        ({"class_path": "SceneJudge", "init_arg": {}}, "class_path:, init_args: .*and nothing else"),
        ({"judge": {"class_path": "SceneJudge"}}, "must hold the lines class_path"),
        ({"class_path": "SceneJudge", "init_args": [1]}, "init_args: of 'key: value' lines"),
        (
            {"class_path": "EnsembleJudge", "init_args": {"judges": ["scene"]}},
            "judge.judges: Expected a dot import path string: scene",
        ),
        ({"class_path": "EnsembleJudge", "init_args": {"judges": []}}, "at least one judge"),
        *(
            ({"class_path": "OpenAIJudge", "init_args": {"dimensions": dimensions}}, named)
            for dimensions, named in (
                ([], "dimensions are missing"),
                (["object"], "judge.dimensions"),
                ([{"name": "a"}], "judge.dimensions: .*required: question"),
                ([{"name": "ab", "question": "q", "x": 1}], "judge.dimensions has no setting 'x'"),
                ([{"name": None, "question": "q"}], "judge.dimensions: .*required: name"),
                ([{"name": "ab", "question": ""}], "dimensions: ab has no question"),
                ([{"name": "a  b", "question": "q"}], "dimensions 'a  b'"),
                ([{"name": "model config", "question": "q"}], "dimensions 'model config'"),
                ([{"name": "model dump", "question": "q"}], "dimensions 'model dump'"),
            )
        ),
        (
            {"class_path": "OpenAIJudge", "init_args": {"modle": "x"}},
            "no setting 'modle': did you mean model",
        ),
        ({"class_path": "OpenAIJudge", "init_args": {"tries": "x"}}, "judge.tries must be int, not x"),
    ],
    ids=str,
)
def test_mistakes_are_named(tmp_path, content, named):
    with pytest.raises(ValueError, match=named):
        judge_of(tmp_path, content)


def test_an_ensemble_holds_judges(tmp_path):
    found = judge_of(
        tmp_path, {"class_path": "EnsembleJudge", "init_args": {"judges": [{"class_path": "SceneJudge"}]}}
    )
    assert isinstance(found, EnsembleJudge) and isinstance(found.judges[0], SceneJudge)


def test_objects_in_options_stay_json(tmp_path):
    """jsonargparse builds what a class_path in a setting of type Any names: a judge's file must not run a command."""
    command = {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", str(tmp_path / "made")]}}
    options = {"a": command, "b": [command], "c": {"d": command}}
    found = judge_of(tmp_path, {"class_path": "OpenAIJudge", "init_args": {"options": options}})
    assert found.options == options and not (tmp_path / "made").exists()
