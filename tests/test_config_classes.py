"""Every config begins with what it is, and names real classes and arguments."""

import importlib

import pytest
import yaml
from jsonargparse import ArgumentParser

from training.configs import CONFIGS


@pytest.mark.parametrize(
    "path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda p: p.relative_to(CONFIGS).as_posix()
)
def test_every_config_names_real_classes_and_arguments(path):
    settings = yaml.safe_load(path.read_text())
    assert path.read_text().startswith("#"), "a config begins by saying what it is"
    for part in ("model", "data"):
        if "class_path" not in settings.get(part, {}):
            continue
        module, name = settings[part]["class_path"].rsplit(".", 1)
        parser = ArgumentParser()
        parser.add_class_arguments(importlib.import_module(module).__dict__[name])
        accepted = {action.dest.split(".")[0] for action in parser._actions}
        assert set(settings[part].get("init_args", {})) <= accepted
