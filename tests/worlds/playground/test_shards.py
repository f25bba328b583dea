"""Shards are whole, the same for a seed byte for byte, resumable, and refuse what does not fit."""

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from worlds.playground.samples import SAMPLERS
from worlds.playground.shards import SHARD_SAMPLES, ShardSet, main, shard_sets, write_shards


def _write(out: Path, *sets: ShardSet) -> dict[str, str]:
    """Writes the sets; returns the hash of every file."""
    list(write_shards(list(sets), out, workers=1))
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _samples(path: Path) -> dict[str, dict[str, bytes]]:
    """The files of a shard by sample and ending, split as WebDataset does."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            key, ending = member.name.split(".", 1)
            found.setdefault(key, {})[ending] = tar.extractfile(member).read()
    return found


def test_a_seed_fixes_every_byte(tmp_path: Path) -> None:
    first = _write(tmp_path / "a", *(ShardSet(name, "train", 20, 3) for name in SAMPLERS))
    assert first == _write(tmp_path / "b", *(ShardSet(name, "train", 20, 3) for name in SAMPLERS))
    other = _write(tmp_path / "c", *(ShardSet(name, "train", 20, 4) for name in SAMPLERS))
    assert len(first) == 2 * len(SAMPLERS) and not set(first.values()) & set(other.values())


def test_validation_is_another_draw(tmp_path: Path) -> None:
    _write(tmp_path, ShardSet("pairs", "train", 20, 0), ShardSet("pairs", "val", 20, 0))
    train, val = (_samples(tmp_path / "pairs" / split / "shard-00000.tar") for split in (".", "val"))
    assert not {sample["png"] for sample in train.values()} & {sample["png"] for sample in val.values()}


def test_an_interrupted_run_resumes_to_the_same_shards(tmp_path: Path) -> None:
    sets = [ShardSet("text", "train", SHARD_SAMPLES + 50, 0), ShardSet("stories", "train", 10, 0)]
    whole = _write(tmp_path / "whole", *sets)
    cut = write_shards(sets, tmp_path / "cut", workers=1)
    assert next(cut) == tmp_path / "cut/text/shard-00000.tar"
    cut.close()
    kept = (tmp_path / "cut/text/shard-00000.tar").stat().st_mtime_ns
    assert not list((tmp_path / "cut").rglob("index.json"))
    assert _write(tmp_path / "cut", *sets) == whole
    assert (tmp_path / "cut/text/shard-00000.tar").stat().st_mtime_ns == kept


def test_keys_continue_over_shards_and_the_index_counts_them(tmp_path: Path) -> None:
    _write(tmp_path, ShardSet("text", "train", SHARD_SAMPLES + 50, 0))
    index = json.loads((tmp_path / "text/index.json").read_text())
    assert index["samples"] == SHARD_SAMPLES + 50
    keys = [list(_samples(tmp_path / "text" / name)) for name in index["shards"]]
    assert [len(shard) for shard in keys] == list(index["shards"].values())
    assert sum(keys, []) == [f"{i:09d}" for i in range(SHARD_SAMPLES + 50)]


def test_scale_multiplies_training_alone() -> None:
    sizes = {(shards.name, shards.split): shards.samples for shards in shard_sets(["pairs", "edits"], 0, 0.5)}
    assert sizes == {
        ("pairs", "train"): 30_000,
        ("edits", "train"): 8_000,
        ("pairs", "val"): 512,
        ("edits", "val"): 512,
    }


def test_another_seed_does_not_overwrite(tmp_path: Path) -> None:
    before = _write(tmp_path, ShardSet("text", "train", 20, 0))
    with pytest.raises(ValueError, match="another seed or scale"):
        _write(tmp_path, ShardSet("pairs", "train", 20, 1), ShardSet("text", "train", 20, 1))
    assert _write(tmp_path, ShardSet("text", "train", 20, 0)) == before


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["--only", "paris"], "no such shard set; there are pairs"),
        (["--scale", "0"], "--scale 0: must be above 0"),
        (["--seed", "-1"], "--seed -1"),
        (["--workers", "0"], "--workers 0: must be at least 1"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: list[str], printed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--out", str(tmp_path / "data"), *arguments])
    error = capsys.readouterr().err.strip()
    assert exit_.value.code == 2 and printed in error and "\n" not in error
    assert not (tmp_path / "data").exists()


def test_the_command_runs(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "worlds.playground.shards",
        "--out",
        str(tmp_path),
        "--only",
        "text",
        "--scale",
        "0.001",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "542 samples" in done.stdout
    assert (tmp_path / "text/val/index.json").exists()
