"""A judge for a command line: a name, or a YAML file of `class_path` and `init_args`, read by jsonargparse."""

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from common.paths import expand_all
from common.safe_yaml import read_yaml
from common.setting_errors import deny_programs, setting_errors
from judges import ensemble, open_ai, scene, self_judge  # noqa: F401 - found by the names of their classes
from judges.judge import Judge

NAMES = {"scene": "SceneJudge", "self": "SelfJudge"}


def read_judge(text: str) -> Judge:
    """The judge of a name in NAMES, or of a YAML file of {class_path, init_args}; only a Judge can be named there.

    Raises:
        ValueError: there is no such judge, or a setting is wrong.
    """
    config: Any = {"class_path": NAMES.get(text)}
    if text not in NAMES:
        if not Path(text).is_file():
            raise ValueError(f"--judge {text}: neither {', '.join(NAMES)}, nor a YAML file")
        config = expand_all(read_yaml(Path(text)))
    if not isinstance(config, dict) or "class_path" not in config:
        raise ValueError(f"--judge {text} must hold the lines class_path: and init_args:")
    init_args = config.get("init_args") or {}
    if not config.keys() <= {"class_path", "init_args"} or not isinstance(init_args, dict):
        raise ValueError(
            f"--judge {text} must hold class_path:, init_args: of 'key: value' lines, and nothing else"
        )
    deny_programs()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--judge", type=Judge)
    try:
        with setting_errors():
            parsed: Namespace = parser.parse_object({"judge": {**config, "init_args": init_args}})
    except ValueError as error:
        raise ValueError(f"--judge {text}: {error}") from error
    return parser.instantiate(parsed).judge
