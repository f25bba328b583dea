"""A judge's file of settings: what is not read in it is named."""

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
def test_short_and_whole_names_are_read(tmp_path, content):
    assert isinstance(judge_of(tmp_path, content), SceneJudge)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", "must hold the lines class_path"),
        ("[1]", "must hold the lines class_path"),
        ("scene", "must hold the lines class_path"),
        ({"class_path": "os.SceneJudge"}, "names no judge"),
        ({"class_path": "os.system"}, "names no judge"),
        ({"class_path": "SceneJudge", "init_arg": {}}, "'init_arg': did you mean init_args"),
        ({"judge": {"class_path": "SceneJudge"}}, "has the key 'judge'"),
        ({"class_path": "SceneJudge", "init_args": [1]}, "init_args must hold"),
        (
            {"class_path": "EnsembleJudge", "init_args": {"judges": ["scene"]}},
            "must hold the lines class_path",
        ),
        ({"class_path": "EnsembleJudge", "init_args": {"judges": []}}, "at least one judge"),
    ],
    ids=str,
)
def test_what_is_not_read_is_named(tmp_path, content, named):
    with pytest.raises(ValueError, match=named):
        judge_of(tmp_path, content)


def test_an_ensemble_holds_judges(tmp_path):
    found = judge_of(
        tmp_path, {"class_path": "EnsembleJudge", "init_args": {"judges": [{"class_path": "SceneJudge"}]}}
    )
    assert isinstance(found, EnsembleJudge) and isinstance(found.judges[0], SceneJudge)
