"""lmms-eval finds the model by its entry point."""

import tomllib
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_entry_point_leads_to_a_function():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["entry-points"]["lmms_eval.models"]["illume"].partition(":")
    assert callable(getattr(import_module(module), name))
