"""Configs that nobody should be able to do harm with, by accident or on purpose: each is one line."""

import re
import time
from pathlib import Path

import pytest

import train
from tests.common.test_safe_yaml import BOMB
from tests.tiny import BASE, error_of, write
from training import configs
from training.configs import config_differences, expand


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("base.yaml", BASE)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (BOMB + "extends: base.yaml\n", "unfolds to more than"),
        ("extends: base.yaml\nmodel: &m {init_args: {x: *m}}\n", "stands within what it names"),
        ("extends: base.yaml\ntrainer: {max_steps: 3}\ntrainer: {max_steps: 4}\n", "'trainer' stands twice"),
        ("extends: {a: b}\n", "extends is {'a': 'b'}, and must be the name of a config"),
        ("extends: 3\n", "extends is 3, and must be the name of a config"),
        ("extends: [[a]]\n", "must be the name of a config"),
        ("extends: [/dev/zero]\n", "there is no such config"),
        (
            "extends: base.yaml\nmodel: {class_path: os.system, init_args: {command: 'touch PWNED'}}\n",
            "os.system",
        ),
        (
            "extends: base.yaml\nmodel: {class_path: subprocess.Popen, init_args: {args: [touch, PWNED]}}\n",
            "Popen",
        ),
        ("extends: base.yaml\nmodel: 3\n", "model"),
        ("extends: base.yaml\nmodel: [1]\n", "model"),
        ("extends: base.yaml\nmodel: {class_path: 3}\n", "model"),
        ("extends: base.yaml\nmodel: {class_path: ''}\n", "model"),
        ("extends: base.yaml\nmodel: {class_path: .x}\n", "model"),
        ("extends: base.yaml\nmodel: {class_path: a..b}\n", "model"),
        ("extends: base.yaml\ntrainer: 3\n", "trainer"),
        ("extends: base.yaml\ntrainer: [1]\n", "trainer"),
        ("extends: base.yaml\ntrainer: {max_steps: [1]}\n", "max_steps"),
        ("extends: base.yaml\ntrainer: {callbacks: 3}\n", "callbacks"),
        ("extends: base.yaml\ntrainer: {logger: {class_path: subprocess.Popen}}\n", "logger"),
        ("extends: base.yaml\ntrainer: {devices: {a: b}}\n", "devices"),
        ("extends: base.yaml\ntrainer: {accelerator: 3}\n", "accelerator|unhashable|3"),
        ("extends: base.yaml\ntrainer: {strategy: nosuch}\n", "strategy|nosuch"),
        ("extends: base.yaml\ntrainer: {precision: nosuch}\n", "precision"),
        (
            "extends: base.yaml\ndata: {class_path: builtins.open, init_args: {file: PWNED, mode: w}}\n",
            "data",
        ),
        ("extends: base.yaml\ndata: null\n", "data"),
        ("extends: base.yaml\nseed_everything: x\n", "seed_everything"),
        ("extends: base.yaml\nname: '${nowhere}'\n", "nowhere"),
        ("extends: base.yaml\nname: '${name}'\n", "name"),
        ("extends: base.yaml\nname: [a]\n", "name"),
        ("extends: base.yaml\nname: '${oc.env:NO_SUCH_VARIABLE}'\n", "NO_SUCH_VARIABLE"),
        ("extends: base.yaml\nname: '${bad:x}'\n", "bad"),
        ("extends: base.yaml\nname: '${'\n", "name"),
        ("extends: base.yaml\n1: 2\n", "1"),
        ("extends: base.yaml\nnull: 2\n", "null|None"),
        ("extends: base.yaml\n? [a, b]\n: 2\n", "unhashable"),
        ("extends: base.yaml\ncheckpoint: {every_n_steps: -1}\n", "every_n_steps"),
        ("- a\n", "must hold 'key: value' lines"),
    ],
    ids=lambda value: value[:60],
)
def test_a_config_of_another_shape_is_one_line(text: str, line: str, capsys: pytest.CaptureFixture) -> None:
    Path("x.yaml").write_text(text)
    message = error_of(capsys, "--config", "x.yaml")
    assert re.search(line, message), message
    assert not Path("PWNED").exists() and not Path("runs").exists()


def test_extends_is_bounded_in_depth_and_read_once_in_breadth(capsys: pytest.CaptureFixture) -> None:
    for i in range(30):
        Path(f"d{i}.yaml").write_text(f"extends: [d{i + 1}.yaml, d{i + 1}.yaml]\n")
    Path("d30.yaml").write_text("extends: base.yaml\n")
    begun = time.monotonic()
    assert [path.name for path in expand(Path("d0.yaml").resolve())][:2] == ["base.yaml", "d30.yaml"]
    assert time.monotonic() - begun < 2
    for i in range(2000):
        Path(f"c{i}.yaml").write_text(f"extends: [c{i + 1}.yaml]\n")
    assert "more than 50 configs deep" in error_of(capsys, "--config", "c0.yaml")


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "..",
        "a/../../x",
        "/tmp/x",
        "a//b",
        "a/",
        ".",
        "./a",
        "~/x",
        "a\nb",
        "a\x1b[2J",
        "a" * 300,
        "a\\b",
    ],
)
def test_a_run_stays_below_runs_dir(name: str, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    before = sorted(tmp_path.parent.rglob("*"))
    message = error_of(capsys, "--config", "base.yaml", f"--name={name}", "--runs_dir", "in/ner")
    assert message.startswith("train.py: error: name is") and message.isprintable()
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_config_with_a_model_is_no_overlay_wherever_it_lies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "configs").mkdir()
    monkeypatch.setattr(configs, "CONFIGS", tmp_path / "configs")
    monkeypatch.setattr(configs, "CONFIG_DIRS", (tmp_path / "configs",))
    Path("configs/mine.yaml").write_text(f"extends: [{tmp_path / 'base.yaml'}]\n")
    Path("configs/over.yaml").write_text("trainer: {max_steps: 3}\n")
    assert train.parse(["--config", "mine.yaml"]).args[-1].endswith("mine.yaml")
    assert "mine.yaml" in configs.known_stages() and "over.yaml" not in configs.known_stages()
    assert "over.yaml is laid over a stage" in error_of(capsys, "--config", "over.yaml")
    Path("apart.yaml").write_text("trainer: {max_steps: 3}\n")  # nor does it matter where it lies
    assert "apart.yaml is laid over a stage" in error_of(capsys, "--config", "apart.yaml")


@pytest.mark.parametrize(
    "text", ["", "[1]", "x", "{", "a: " + "[" * 50_000, "m: &m {x: *m}", "x: !!python/name:os.system\n"]
)
def test_a_config_in_a_run_folder_that_is_damaged_is_one_line(
    text: str, capsys: pytest.CaptureFixture
) -> None:
    Path("runs/r").mkdir(parents=True)
    Path("runs/r/config.yaml").write_text(text)
    assert "runs/r/config.yaml" in error_of(capsys, "--config", "base.yaml", "--name", "r")


@pytest.mark.parametrize(
    "reference",
    [
        "${oc.env:OPENAI_API_KEY}",
        "${oc.env:HF_TOKEN,none}",
        "x${oc.env:MY_PASSWORD}",
        "${oc.env:${oc.env:INDIRECT}}",
        "${oc.env: aws_secret_access_key }",
    ],
)
def test_secrets_of_the_environment_reach_no_run(
    reference: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "MY_PASSWORD", "aws_secret_access_key"):
        monkeypatch.setenv(name, "sk-0123456789")
    monkeypatch.setenv("INDIRECT", "OPENAI_API_KEY")
    Path("x.yaml").write_text(f"extends: base.yaml\nname: '{reference}'\n")
    for argv in (["--config", "x.yaml"], ["--config", "base.yaml", f"--name={reference}"]):
        message = error_of(capsys, *argv)
        assert "would be written into the run's config.yaml" in message and "sk-0" not in message
    assert not Path("runs").exists()


def test_yaml_bombs_on_the_command_messageare_refused_at_once(capsys: pytest.CaptureFixture) -> None:
    layers = ["&a [" + ",".join("x" * 10) + "]"]
    layers += [f"&{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 10)}]" for i in range(9)]
    begun = time.monotonic()
    for value in (f"[{', '.join(layers)}]", "[" * 5000, "{a: " * 3000 + "1" + "}" * 3000):
        for words in ([f"--trainer.callbacks={value}"], ["--data.init_args.sources", value]):
            message = error_of(capsys, "--config", "base.yaml", *words)
            assert "unfolds to more" in message or "deep" in message
    assert time.monotonic() - begun < 20


def test_a_config_that_is_not_utf8_is_named(capsys: pytest.CaptureFixture) -> None:
    for encoding in ("utf-16", "utf-32", "utf-16-le"):
        Path("x.yaml").write_bytes("extends: base.yaml\n# é\n".encode(encoding))
        assert "x.yaml" in (message := error_of(capsys, "--config", "x.yaml")) and "UTF-8" in message


def test_only_max_time_may_differ_between_sessions() -> None:
    one = {"name": "a", "trainer": {"max_time": "00:01:00:00", "max_steps": 3}}
    assert not config_differences(one, {"name": "b", "trainer": {"max_time": None, "max_steps": 3}})
    assert config_differences(one, {"trainer": {"max_steps": 4}}) == ["trainer.max_steps (3 -> 4)"]
