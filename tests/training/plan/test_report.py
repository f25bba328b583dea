"""The report of a plan: printed, and nothing else done."""

import train


def test_it_leaves_nothing_behind_and_asks_for_no_accelerator(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = ["--trainer.accelerator", "gpu", "--trainer.devices", "4", "--trainer.strategy", "ddp"]
    assert train.main(["--config", "tokenizer.yaml", "--plan", *asked]).model is not None
    said = capsys.readouterr().out
    assert "4 x H100" in said and "Fits: " in said and not list(tmp_path.iterdir())
    assert max(map(len, said.splitlines())) <= 110
