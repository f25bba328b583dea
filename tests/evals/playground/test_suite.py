"""The whole suite on a tiny random model, and the command line around it."""

import json
from pathlib import Path

import pytest

from evals.__main__ import main
from evals.playground.suite import playground_suite, supported_measures
from evals.settings import PlaygroundSettings
from models.folder_hash import folder_hash
from models.unified import Illume

SMALL = ["--per-category", "2", "--seeds", "1", "--samples", "6"]


def test_a_report_with_pictures_from_a_model_folder(
    tiny_illume: Illume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_illume.save_pretrained("model")
    main(["--model", "model", "--suite", "playground", "--out", "r.json", "--images", "pictures", *SMALL])
    report = json.loads(Path("r.json").read_text())
    wanted = {"geneval/overall", "vqa/accuracy", "editing/accuracy", "editing/changed", "editing/kept"}
    wanted |= {"reconstruction/exact", "codebook/used", "fd_encoder", "stem_alone/fd_encoder"}
    assert wanted | {"seed", "samples", "seconds", "model"} <= report.keys()
    assert "fid" not in report  # no Inception, no FID
    assert report["model"] == folder_hash("model")
    sheets = {path.stem for path in Path("pictures").glob("sheet-*.png")}
    assert {"sheet-counting", "sheet-reconstructions", "sheet-edits"} <= sheets


def test_a_seed_fixes_the_scores(tiny_illume: Illume) -> None:
    first, second, other = (
        playground_suite(tiny_illume, PlaygroundSettings(seed=seed, per_category=1, seeds=1, samples=6))
        for seed in (3, 3, 4)
    )
    for scores in (first, second, other):
        scores.pop("seconds")
    assert first == second
    assert first["fd_encoder"] != other["fd_encoder"]


def test_a_model_is_measured_in_what_it_has_components_for(tiny_illume: Illume) -> None:
    sees = Illume(encoder=tiny_illume.encoder, tokenizer=tiny_illume.tokenizer)
    assert supported_measures(sees) == ["codebook"]
    assert {name.split("/")[0] for name in playground_suite(sees, PlaygroundSettings(samples=6))} == {
        "codebook", "seed", "samples", "seconds",
    }  # fmt: skip
    with pytest.raises(ValueError, match="nothing to evaluate"):
        playground_suite(Illume(language=tiny_illume.language), PlaygroundSettings())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "none"], "none"),
        (["--model", ".", "--suite", "other"], "other"),
        (["--model", ".", "--seeds", "0"], "whole number from 1"),
        (["--model", ".", "--out", "no/such/r.json"], "no/such"),
        (["--model", ".", "--out", "."], "folder"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line
    assert not list(tmp_path.iterdir())
