"""Imports point down only: each package imports what stands below it, and no two modules import each other."""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What of the project each package may import; itself always.
BELOW = {
    "common": set(),
    "worlds": {"common"},
    "models": {"common"},
    "datamodules": {"common", "models", "worlds"},
    "judges": {"common", "models", "worlds"},
    "evals": {"common", "models", "worlds", "judges"},
    "self_enhancement": {"common", "models", "worlds", "judges", "evals", "datamodules"},
}
BELOW["lightning_modules"] = {*BELOW, "self_enhancement"}
BELOW["training"] = {*BELOW}
BELOW["callbacks"] = {*BELOW}
# The top layer, which may import anything and one another, and which no package may import.
ENTRY_POINTS = {"train", "generate", "sweep", "demo", "experiments", "benchmarks", "examples"}
# What the packages of floor 0 may import from outside, beside the standard library.
OUTSIDE = {
    "models": {
        "torch",
        "torch_npu",
        "transformers",
        "diffusers",
        "tokenizers",
        "huggingface_hub",
        "safetensors",
        "sentencepiece",
        "peft",  # LoRA, where it is asked for
        "numpy",
        "PIL",
    },
    "worlds": {"numpy", "PIL"},
    "common": {"numpy", "PIL", "yaml", "jinja2", "markupsafe", "omegaconf", "jsonargparse", "rich"},
}
PROJECT = BELOW.keys() | ENTRY_POINTS | {"tests"}


def python_files(root: Path) -> list[Path]:
    """Every Python file of the project, relative to its root; not those of .venv, runs or the tests."""
    files = [path.relative_to(root) for path in [*root.glob("*.py"), *root.glob("[!.]*/**/*.py")]]
    return sorted(file for file in files if file.parts[0] not in {"tests", "runs", "build"})


def owner(file: Path) -> str:
    return file.parts[0].removesuffix(".py")


def imported(source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, wherever it stands: in functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:  # a relative import stays in its package
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if function in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def module_name(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def import_graph(root: Path) -> dict[str, set[str]]:
    """The modules of the project that each of them imports."""
    names = {module_name(file): file for file in python_files(root)}
    graph: dict[str, set[str]] = {}
    for name, file in names.items():
        found = [full for _, full in imported((root / file).read_text(encoding="utf-8"))]
        targets = [full if full in names else full.rpartition(".")[0] for full in found]
        graph[name] = {target for target in targets if target in names and target != name}
    return graph


def allowed(file: Path, name: str) -> bool:
    package = owner(file)
    if package in ENTRY_POINTS:
        return name != "tests"
    if name in PROJECT:
        return name == package or name in BELOW[package]
    return package not in OUTSIDE or name in sys.stdlib_module_names or name in OUTSIDE[package]


def violations(root: Path, file: Path) -> list[str]:
    found = imported((root / file).read_text(encoding="utf-8"))
    tops = dict.fromkeys((line, name.split(".")[0]) for line, name in found)
    return [f"{file}:{line} imports {name}" for line, name in tops if not allowed(file, name)]


def test_every_file_stands_on_a_floor() -> None:
    files = python_files(ROOT)
    assert {owner(file) for file in files} >= BELOW.keys()
    assert not [file for file in files if owner(file) not in BELOW.keys() | ENTRY_POINTS]


@pytest.mark.parametrize("file", python_files(ROOT), ids=str)
def test_imports_point_down(file: Path) -> None:
    assert violations(ROOT, file) == []


@pytest.mark.parametrize(
    ("file", "source", "name"),
    [
        ("models/a.py", "import lightning.pytorch as pl", "lightning"),
        ("models/a.py", "def late():\n    from worlds.playground.scene import Scene", "worlds"),
        ("models/deep/a.py", "from webdataset import WebDataset", "webdataset"),
        ("worlds/a.py", "import torch", "torch"),
        ("lightning_modules/a.py", "import training", "training"),
        ("datamodules/a.py", "from evals import fid", "evals"),
        ("evals/a.py", "if TYPE_CHECKING:\n    from callbacks import grid", "callbacks"),
        ("training/a.py", "from callbacks.samples import SampleGrids", "callbacks"),
        ("callbacks/a.py", "importlib.import_module('train')", "train"),
        ("demo.py", "import tests.conftest", "tests"),
    ],
)
def test_an_import_that_points_up_is_found(tmp_path: Path, file: str, source: str, name: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(source)
    assert [line.rsplit(" ", 1)[1] for line in violations(tmp_path, Path(file))] == [name]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("models/a.py", "import math\nimport torch\nfrom models.document import Text\nfrom . import b"),
        ("callbacks/a.py", "import lightning\nfrom evals import fid"),
        ("demo.py", "import train, callbacks, lightning_modules"),
    ],
)
def test_an_import_that_points_down_passes(tmp_path: Path, file: str, source: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(source)
    assert violations(tmp_path, Path(file)) == []


def test_no_modules_import_each_other() -> None:
    TopologicalSorter(import_graph(ROOT)).prepare()  # a circle raises CycleError, whose message names it


@pytest.mark.parametrize(
    "back",
    [
        "import models.a",
        "def late():\n    from models import a",
        "if TYPE_CHECKING:\n    from models.a import Model",
        "importlib.import_module('models.a')",
    ],
)
def test_a_circle_is_found(tmp_path: Path, back: str) -> None:
    (tmp_path / "models").mkdir()
    for name, source in (("a", "from models.b import x"), ("b", "from models.c import x"), ("c", back)):
        (tmp_path / f"models/{name}.py").write_text(source)
    with pytest.raises(CycleError):
        TopologicalSorter(import_graph(tmp_path)).prepare()
