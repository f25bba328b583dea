"""Variables of the environment in configs."""

import pytest
from omegaconf import OmegaConf

from common.environment import refuse_secrets


def test_other_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", "here")
    refuse_secrets()
    assert OmegaConf.create({"a": "${oc.env:WHERE}", "b": "${oc.env:NOWHERE,there}"}).a == "here"
    assert OmegaConf.create({"b": "${oc.env:NOWHERE,there}"}).b == "there"
