"""Paths as users write them: ~ in options and configs, and what is typed or dragged into a chat."""

import argparse
import json
from pathlib import Path

import pytest
import yaml

import train
from common.paths import expand_all, expand_home, path_or_name, typed_path, user_path
from evals.options import build_parser
from tests.tiny import BASE, error_of, write
from training.configs import config_differences


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of its own, beside which the test stands."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def test_a_tilde_is_the_home_folder_and_nothing_else_changes(home: Path) -> None:
    assert expand_home("~/a b") == f"{home}/a b" and expand_home("~") == str(home)
    assert expand_home("~/d/{00..10}.tar") == f"{home}/d/{{00..10}}.tar"
    for text in ("a~", "./~", "a/~/b", "~5 objects", "s3://x/~y", "lmsys/vicuna-7b", "", "~ is about"):
        assert expand_home(text) == text
    assert user_path("~/x") == home / "x" and path_or_name("~/x") == f"{home}/x"
    with pytest.raises(ValueError, match="runs_dir: ~nobody-here/x: there is no user nobody-here"):
        expand_home("~nobody-here/x", "runs_dir")


def test_every_path_of_a_config_is_expanded_however_deep(home: Path) -> None:
    space = argparse.Namespace(a="~/x", deep=argparse.Namespace(b=["~/y", 1, None]), c={"d": ("~/z", True)})
    made = expand_all(space)
    assert (made.a, made.deep.b, made.c) == (f"{home}/x", [f"{home}/y", 1, None], {"d": (f"{home}/z", True)})
    with pytest.raises(ValueError, match=r"data\.sources\.a\[1\]: ~nobody-here/x: there is no user"):
        expand_all({"data": {"sources": {"a": ["~/x", "~nobody-here/x"]}}})


def test_a_run_with_a_tilde_is_one_run(home: Path, capsys: pytest.CaptureFixture) -> None:
    tilde = BASE | {"runs_dir": "~/r", "trainer": BASE["trainer"] | {"max_steps": 6}}
    write("t.yaml", tilde)
    (home / "over.yaml").write_text("checkpoint: {every_n_steps: 3}\n")
    run = train.main(["--config", "t.yaml", "--config=~/over.yaml", "--name", "x"])
    folder = home / "r" / "x"
    assert run.folder == folder and {"config.yaml", "metrics.csv", "checkpoints"} <= {
        p.name for p in folder.iterdir()
    }
    assert not list(Path().glob("~*")) and sorted(p.name for p in Path().iterdir()) == ["t.yaml"]
    for way in (
        ["--runs_dir=~/r"],
        ["--runs_dir", str(home / "r")],
        [],
    ):  # the same run, however it is written
        again = train.main(["--config", "t.yaml", "--config", str(home / "over.yaml"), "--name", "x", *way])
        assert again.trainer is None
    assert "runs_dir: ~nobody-here/r: there is no user nobody-here" in error_of(
        capsys, "--config", "t.yaml", "--runs_dir=~nobody-here/r"
    )


def test_a_path_of_a_module_is_expanded(home: Path) -> None:
    (home / "there").write_text("")
    write("t.yaml", BASE | {"trainer": BASE["trainer"] | {"max_steps": 1}})
    train.main(["--config", "t.yaml", "--model.init_args.predecessor=~/there"])
    said = yaml.safe_load(Path("runs/t/config.yaml").read_text())
    assert said["model"]["init_args"]["predecessor"] == str(home / "there")


def test_a_config_with_a_tilde_equals_the_one_with_the_path(home: Path) -> None:
    old = {"data": {"init_args": {"shards": ["~/d/a"]}}, "runs_dir": "~/r"}
    assert (
        config_differences(old, {"data": {"init_args": {"shards": [f"{home}/d/a"]}}, "runs_dir": f"{home}/r"})
        == []
    )
    assert config_differences(old, {"data": {"init_args": {"shards": [f"{home}/d/b"]}}}) != []


def test_options_of_commands_take_a_tilde(home: Path, capsys: pytest.CaptureFixture) -> None:
    given = build_parser().parse_args(
        ["--suite", "fid", "--model=~/m", "--images=~/i", "--real=~/r", "--prompts=~/p.txt", "--out=~/o.json"]
    )
    assert (given.model, given.images, given.real) == (home / "m", home / "i", home / "r")
    assert (given.prompts, given.out) == (f"{home}/p.txt", home / "o.json")
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--model=~nobody-here/m"])
    assert "argument --model: ~nobody-here/m: there is no user nobody-here" in capsys.readouterr().err


def options_of_every_command() -> list[tuple[str, str]]:
    """Where an option or argument is a plain Path, which leaves ~ as it is."""
    root = Path(train.__file__).parent
    files = [p for p in root.glob("[!.]*/**/*.py") if p.relative_to(root).parts[0] not in ("tests", "runs")]
    return [(str(p), line) for p in [*root.glob("*.py"), *files] for line in p.read_text().splitlines()]


def test_no_command_has_an_option_that_leaves_a_tilde() -> None:
    assert [found for found in options_of_every_command() if "type=Path" in found[1]] == []


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("my pic.png", "my pic.png"),
        ('"my pic.png"', "my pic.png"),
        ("'my pic.png' ", "my pic.png"),
        ("my\\ pic.png", "my pic.png"),
        ("it's.png", "it's.png"),
        ("'it'\\''s.png'", "it's.png"),
        ('"a\\"b.png"', 'a"b.png'),
        ("x\\(1\\).png", "x(1).png"),
        ("'quoted'", "'quoted'"),
        ("back\\slash.png", "back\\slash.png"),
        ("file://HERE/my%20pic.png", "my pic.png"),
        ("'file://localhostHERE/my%20pic.png'", "my pic.png"),
        ("~/p.png", "~/p.png"),
        ('"~/p.png"', "~/p.png"),
    ],
)
def test_a_typed_path_is_found_as_people_write_it(typed: str, name: str, home: Path) -> None:
    path = Path(expand_home(name))
    path.write_text("x")
    assert typed_path(typed.replace("HERE", str(Path.cwd()))).resolve() == path.resolve()


@pytest.mark.parametrize("typed", ["C:\\new\\table.png", "\\\\server\\share\\a b.png", '"C:\\new\\a.png"'])
def test_backslashes_of_windows_stay(typed: str) -> None:
    assert str(typed_path(typed)) == typed.strip('"')


def test_no_path_is_said() -> None:
    with pytest.raises(ValueError, match="a path is missing"):
        typed_path("  ")


def test_settings_of_judges_and_sweeps_take_a_tilde(home: Path) -> None:
    from experiments.sweep.recipe import read_recipe

    (home / "base.yaml").write_text(json.dumps(BASE))
    lr = {"type": "float", "low": 0.1, "high": 0.2}
    sweep = {"base": "~/base.yaml", "space": {"model.init_args.lr": lr}, "storage": "~/j.log"}
    Path("s.yaml").write_text(yaml.safe_dump(sweep | {"objective": {"val/loss": "minimize"}, "trials": 1}))
    recipe = read_recipe(Path("s.yaml"))
    assert recipe.storage == str(home / "j.log") and list(recipe.base) == [home / "base.yaml"]
