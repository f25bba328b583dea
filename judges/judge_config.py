"""A judge from a word or a file of settings, for a command line."""

from pathlib import Path
from typing import Any

from common.checks import suggest
from common.paths import expand_all
from common.safe_yaml import read_yaml
from judges.ensemble import EnsembleJudge
from judges.judge import Judge
from judges.open_ai import OpenAIJudge
from judges.scene import SceneJudge
from judges.self_judge import SelfJudge
from models.component_config import build

WORDS = {"scene": SceneJudge, "self": SelfJudge}
JUDGES = {judge.__name__: judge for judge in (SceneJudge, SelfJudge, OpenAIJudge, EnsembleJudge)}

KEYS = ("class_path", "init_args")


def read_judge(text: str) -> Judge:
    """The judge that `scene`, `self` or a YAML file of {class_path, init_args} names.

    Raises:
        ValueError: it names none, or its settings are wrong.
    """
    if text in WORDS:
        return WORDS[text]()
    if not Path(text).is_file():
        raise ValueError(f"--judge {text}: neither {', '.join(WORDS)}, nor a YAML file")
    return _built(expand_all(read_yaml(Path(text))), f"--judge {text}")


def _built(recipe: Any, where: str) -> Judge:
    if not isinstance(recipe, dict):
        raise ValueError(f"{where} must hold the lines class_path: and init_args:")
    for key in recipe:
        if key not in KEYS:
            raise ValueError(f"{where} has the key {str(key)!r}: {suggest(str(key), KEYS)}")
    path = str(recipe.get("class_path", ""))
    name = path.rpartition(".")[2]
    if name not in JUDGES or path not in (name, f"{JUDGES[name].__module__}.{name}"):
        raise ValueError(f"{where}: class_path names no judge; there is {', '.join(JUDGES)}")
    settings = recipe.get("init_args") or {}
    if not isinstance(settings, dict) or not isinstance(settings.get("judges", []), list):
        raise ValueError(f"{where}: init_args must hold 'key: value' lines, and judges in it a list")
    settings = dict(settings)
    if name == EnsembleJudge.__name__:
        settings["judges"] = [_built(one, where) for one in settings.get("judges", [])]
    return build(JUDGES[name], settings, where)
