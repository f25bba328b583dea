"""The documents: short lines, files that exist, and a complete table of renames."""

import re
from pathlib import Path

import pytest

import train

ROOT = Path(train.__file__).parent
DOCUMENTS = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
FILE = re.compile(
    rf"(?<![\w./])((?:{'|'.join([*PACKAGES, 'tests', 'docs', 'configs', 'launch'])})/[\w./-]*\w)"
)
PAST = {"docs/decisions/renames.tsv", "docs/decisions.md"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_are_at_most_100_characters_apart_from_tables_and_urls(path: Path) -> None:
    lines = enumerate(path.read_text().splitlines(), 1)
    long = [number for number, line in lines if len(line) > 100 and line[:1] != "|" and "://" not in line]
    assert long == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_document_names_exists(path: Path) -> None:
    named = set(FILE.findall(path.read_text())) - PAST
    assert sorted(name for name in named if not any(ROOT.glob(f"{name}*"))) == []


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_every_rename_has_an_old_and_a_new_name_and_new_files_exist() -> None:
    head, *rows = [
        line.split("\t") for line in (ROOT / "docs/decisions/renames.tsv").read_text().splitlines()
    ]
    assert head == ["kind", "old", "new"] and len(rows) > 300
    assert [row for row in rows if len(row) != 3 or not all(row) or row[1] == row[2]] == []
    paths = [row[2] for row in rows if row[0] == "path" and row[2] != "-"]  # "-": nothing took its place
    assert [path for path in paths if not (ROOT / path).exists()] == []
    modules = [ROOT / row[2].replace(".", "/") for row in rows if row[0] == "module" and row[2] != "-"]
    assert [path for path in modules if not (path.with_suffix(".py").exists() or path.is_dir())] == []
