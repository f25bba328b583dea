"""Wrong settings are one line each: which one, what is wrong, and what there is."""

from pathlib import Path

import pytest

from tests.tiny import BASE, error_of, write


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("--config dangling.yaml", "model.init_args.lr: ${data.lr} refers to nothing"),
        ("--config base.yaml --top 1", "unrecognized arguments: --top"),
        ("--config base.yaml --trainer.max_step 3", "did you mean max_steps?"),
        ("--config base.yaml --model.lrr 1", "model has no setting 'lrr': did you mean lr?"),
        ("--config base.yaml --model.lr fast", "model.lr must be float, not fast"),
        ("--config class.yaml", "has no attribute 'TinyModul': did you mean TinyModule?"),
        ("--config module.yaml", "module 'callbacks' has no attribute 'sampels': did you mean samples?"),
    ],
)
def test_wrong_settings_are_one_line(
    argv: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACEBACK", raising=False)
    write("base.yaml", BASE)
    write("dangling.yaml", {"extends": "base.yaml", "model": {"init_args": {"lr": "${data.lr}"}}})
    write("class.yaml", {**BASE, "model": {"class_path": "tests.tiny.TinyModul"}})
    write("module.yaml", {**BASE, "model": {"class_path": "callbacks.sampels.SampleGrids"}})
    assert expected in error_of(capsys, *argv.split(), "--trainer.enable_progress_bar=false")
