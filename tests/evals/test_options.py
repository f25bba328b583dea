"""The options of `python -m evals` are the settings of its suites; options that have no effect are refused."""

from pathlib import Path

import pytest

from evals.options import SUITES, build_parser, read_settings
from evals.settings import EmuEditSettings, FidSettings, GenEvalSettings, PlaygroundSettings
from models.generation import SamplingConfig
from tests.evals.command_line import error_of

GENEVAL = ["--suite", "geneval", "--images", "images", "--detector", "m", "--clip", "c"]
FID = ["--suite", "fid", "--images", "drawn", "--real", "real"]
RFID = ["--suite", "rfid", "--images", "drawn", "--real", "real"]
MJHQ = ["--suite", "mjhq", "--images", "drawn", "--real", "real", "--model", "model"]
GENAI = ["--suite", "genai_bench", "--prompts", "prompts", "--images", "images", "--vlm", "llava"]
EMU = ["--suite", "emu_edit", "--data", "emu", "--images", "results", "--clip", "clip", "--dino", "dino"]
BRUSH = ["--suite", "magicbrush", *EMU[2:]]


def settings_of(*words: str) -> object:
    return read_settings(build_parser().parse_args(list(words)))


def test_options_are_settings() -> None:
    found = settings_of("--model", "m", "--quick", "--seeds", "2", "--cfg", "2", "--edit-top-k", "3")
    sampling = {"sampling": SamplingConfig(cfg=2.0), "edit_sampling": SamplingConfig(top_k=3)}
    assert found == PlaygroundSettings(quick=True, seeds=2, **sampling)
    found = settings_of(*FID, "--model", "m", "--prompts", "p.txt", "--seed", "3", "--features", "f")
    paths = {"real": Path("real"), "features": Path("f")}
    assert found == FidSettings(**paths, prompts="p.txt", seed=3)
    assert settings_of(*GENEVAL, "--overlap", "0") == GenEvalSettings(detector="m", clip="c", overlap=0.0)
    networks = {"clip": "clip", "dino": "dino"}
    found = settings_of(*EMU, "--split", "validation", "--limit", "2")
    assert found == EmuEditSettings(data=Path("emu"), **networks, split="validation", limit=2)


def test_every_suite_is_in_the_help(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        build_parser().parse_args(["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and all(
        f"--suite {suite}" in text or f", {suite}" in text for suite in SUITES
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--suite", "playground"], "--model"),
        (["--model", "x", "--clip", "c"], "--clip is an option of --suite geneval, not of playground"),
        ([*GENEVAL, "--assess"], "--assess is an option of --suite playground, not of geneval"),
        ([*GENEVAL, "--quick"], "--quick is an option of --suite playground"),
        (["--suite", "geneval", "--detector", "m"], "needs --images"),
        ([*GENEVAL, "--model", "x"], "needs --prompts"),
        ([*GENEVAL, "--cfg", "2"], "--cfg is of drawing"),
        ([*GENEVAL, "--limit", "2"], "--limit takes some of the prompts of a file"),
        ([*GENEVAL, "--per-category", "2"], "--prompts playground"),
        ([*GENEVAL, "--prompts", "playground"], "give --detector playground"),
        ([*GENEVAL, "--detector", "playground"], "leave out --clip"),
        (
            [*GENEVAL[:6], "--detector", "playground", "--overlap", "0.5"],
            "--overlap is of detectors that doubt",
        ),
        ([*GENAI, "--seeds", "2"], "--seeds is an option of --suite playground"),
        ([*GENAI, "--detector", "x"], "--detector is an option of --suite geneval, not of genai_bench"),
        (["--suite", "genai_bench", "--images", "images"], "needs --prompts and --vlm"),
        ([*GENAI, "--cfg", "2"], "--cfg is of drawing"),
        ([*GENAI, "--per-category", "2"], "--per-category is of the playground's prompts"),
        ([*GENAI, "--vlm", "playground"], "go together"),
        ([*GENAI, "--prompts", "playground"], "go together"),
        ([*GENAI, "--limit", "0"], "'0' is not a whole number from 1"),
        (["--suite", "emu_edit", "--clip", "clip"], "--suite emu_edit needs --images and --data and --dino"),
        ([*EMU, "--multi-turn"], "--multi-turn is an option of --suite magicbrush, not of emu_edit"),
        ([*BRUSH, "--split", "test"], "--split is an option of --suite emu_edit, not of magicbrush"),
        ([*EMU, "--vlm", "x"], "--vlm is an option of --suite genai_bench, not of emu_edit"),
        ([*EMU, "--temperature", "1"], "--temperature is of drawing"),
        (["--suite", "fid", "--images", "drawn"], "--suite fid needs --real"),
        (["--suite", "mjhq"], "needs --images and --real"),
        (RFID, "--suite rfid needs --model"),
        ([*RFID, "--model", "model", "--cfg", "2"], "--suite rfid only reconstructs"),
        ([*MJHQ, "--prompts", "p.txt"], "--prompts is an option of --suite geneval, not of mjhq"),
        ([*FID, "--seeds", "2"], "--seeds is an option of --suite playground, not of fid"),
        ([*FID, "--cfg", "2"], "--cfg is of drawing"),
        ([*FID, "--prompts", "prompts.txt"], "give --model DIR as well"),
        ([*FID, "--model", "model"], "needs --prompts"),
    ],
)
def test_errors_of_users_are_one_line(
    words: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in error_of(capsys, *words)
