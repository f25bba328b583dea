"""The help of a class that configs name, with the dataclasses within it."""

import pytest

import train
from training.class_help import class_help, find_class


def test_settings_of_optional_dataclasses_are_shown(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        train.main(["--help", "LanguageModule"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and text.startswith("lightning_modules.language.LanguageModule")
    assert "--model.warmup_steps" in text and "--model.slicing.size" in text and "Show the help" not in text
    assert "--data.sources.NAME.weight" in class_help("DocumentDataModule")
    assert "--skip" in class_help("callbacks.profile.TrainingProfile")


def test_a_class_that_does_not_exist_is_one_line(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        train.main(["--help", "LanguageModul"])
    assert stop.value.code == 2 and "did you mean LanguageModule?" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no class 'os.LanguageModule'"):
        find_class("os.LanguageModule")
