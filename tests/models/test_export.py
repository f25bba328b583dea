"""What is exported computes what it did, under the same ids, and says what it is."""

import pytest

from models import export


def refused(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        export.main(list(map(str, words)))
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_impossible_exports_are_refused(illume, folder, tmp_path, capsys):
    assert "is not a model folder" in refused(capsys, "--model", tmp_path, "--out", tmp_path / "a")
    assert "is there already" in refused(capsys, "--model", folder, "--out", folder)
    absent = ("--model", folder, "--out", tmp_path / "a", "--report", tmp_path / "no.json")
    assert "there is no such file" in refused(capsys, *absent)
    (tmp_path / "odd.json").write_text("[1]")
    assert "names no measure" in refused(capsys, *absent[:-1], tmp_path / "odd.json")
    illume.language = illume.text_tokenizer = None
    illume.save_pretrained(str(tmp_path / "mute"))
    mute = ("--model", tmp_path / "mute", "--out", tmp_path / "a", "--language")
    assert "no language half" in refused(capsys, *mute)
    assert not (tmp_path / "a").exists()
