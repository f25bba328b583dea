"""A model folder may be anybody's: what is wrong with its files is one line that names one, soon, in little memory."""

import json
import os
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from common.errors import explain
from models.folder_hash import folder_hash
from models.unified import Illume

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5\n"
COMPONENTS = ("encoder", "tokenizer", "detokenizer", "language")
HOSTILE = (10**9, 10**6, 0, -1, None, "x", [[]], {"a": 1}, True, float("nan"))
SECONDS = 20.0  # that a refusal may take; most take some hundredths


@pytest.fixture
def folder(illume: Illume, tmp_path: Path) -> Path:
    illume.save_pretrained(str(tmp_path / "model"))
    return tmp_path / "model"


def refusal(folder: Path) -> str:
    """The one line that loading ends in; empty where it loads."""
    begun = time.monotonic()
    try:
        Illume.from_pretrained(str(folder))
        return ""
    except Exception as error:
        line = explain(error)
        assert line is not None, f"a traceback: {type(error).__name__}: {error}"
        assert "\n" not in line and line.isprintable() and len(line) < 1000, line
        return line
    finally:
        assert time.monotonic() - begun < SECONDS


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Where each value of a config stands, whole tables and lists too."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_setting_of_every_config_loads_or_is_one_line(folder: Path, component: str) -> None:
    path = folder / component / "config.json"
    config, refused = json.loads(path.read_text()), 0
    for number, place in enumerate(places(config)):
        for value in (HOSTILE[0], *HOSTILE[1 + number % 2 :: 2]):
            changed = json.loads(json.dumps(config))
            inner = changed
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            path.write_text(json.dumps(changed))
            if line := refusal(folder):
                refused += 1
                assert str(folder) in line, (place, value, line)
            elif value == 10**9 or (isinstance(value, float) and value != value):
                pytest.fail(f"{component} {place} takes {value}")
    assert refused > 20


def test_a_thousand_million_layers_are_named_by_their_key(folder: Path) -> None:
    path = folder / "language" / "config.json"
    config = json.loads(path.read_text())
    for layers, told in ((10**9, "1000000000"), (10**6, "1000000")):
        config["trunk"]["num_hidden_layers"] = layers
        path.write_text(json.dumps(config))
        assert f"language/config.json: trunk.num_hidden_layers is {layers:.3g}"[:60] in refusal(folder) or (
            f"trunk.num_hidden_layers is {told}, and the weights beside it are" in refusal(folder)
        )


TOPS = {
    "empty": b"",
    "no parts": b"{}",
    "list": b"[]",
    "list of parts": b'{"components": ["encoder"]}',
    "cut": b"{",
    "deep": b"[" * 1_000_000,
    "unhashable class": b'{"components": {"encoder": ["x"]}}',
    "another component's class": b'{"components": {"encoder": "DiffusionDetokenizer"}}',
    "a path": b'{"components": {"../../etc": "VisionEncoder"}}',
    "utf-16": '{"components": {}}'.encode("utf-16-le"),
    "fingerprints of another shape": b'{"components": {}, "fingerprints": [1]}',
}


@pytest.mark.parametrize("kind", TOPS)
def test_an_illume_json_of_another_shape_is_one_line(folder: Path, kind: str) -> None:
    (folder / "illume.json").write_bytes(TOPS[kind])
    assert "illume.json" in refusal(folder)


@pytest.mark.parametrize("content", [b"[1]", b'"x"', b"null", b"[" * 1_000_000, b"\xff\xfe\xfa", b"{}"])
def test_a_config_of_another_shape_is_one_line(folder: Path, content: bytes) -> None:
    (folder / "language" / "config.json").write_bytes(content)
    assert "language/config.json" in refusal(folder)


def header(content: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(content) if length is None else length) + content + data


def overlapping(path: Path) -> bytes:
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    table = json.loads(content[8 : 8 + size])
    names = [name for name in table if name != "__metadata__"]
    alike = [name for name in names if table[name]["shape"] == table[names[0]]["shape"]]
    for name in alike[1:]:
        table[name]["data_offsets"] = table[alike[0]]["data_offsets"]
    return header(json.dumps(table).encode(), data=content[8 + size :])


LIES: dict[str, Callable[[Path], bytes]] = {
    "eight exabytes of header": lambda path: header(b"{}", 2**63),
    "100 MB of header": lambda path: header(b"{" + b" " * (99 * 2**20) + b"}"),
    "empty": lambda path: b"",
    "cut": lambda path: path.read_bytes()[:5000],
    "overlapping": overlapping,
    "a shape of 10^18": lambda path: header(
        b'{"a": {"dtype": "F32", "shape": [1000000000, 1000000000], "data_offsets": [0, 4]}}', data=b"0000"
    ),
    "names for a terminal": lambda path: header(
        b'{"\\u001b[2J\\nevals: error": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}', data=b"0"
    ),
    "a pickle": lambda path: b"\x80\x04\x95" + b"0" * 100,
    "a pointer": lambda path: POINTER.encode(),
}


@pytest.mark.parametrize("kind", LIES)
def test_weights_whose_header_lies_are_one_line(folder: Path, kind: str) -> None:
    path = folder / "language" / "model.safetensors"
    path.write_bytes(LIES[kind](path))
    line = refusal(folder)
    assert "language" in line and ("git lfs pull" in line) == (kind == "a pointer")


def pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    "make", [pipe, Path.mkdir, lambda p: p.symlink_to(p.name), lambda p: p.symlink_to("/dev/zero")]
)
@pytest.mark.parametrize("name", ["illume.json", "language/config.json", "language/model.safetensors"])
def test_what_is_no_file_is_one_line(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    (folder / name).unlink()
    make(folder / name)
    assert name.rpartition("/")[2] in refusal(folder)


@pytest.mark.parametrize(
    "index", ["[]", "{}", '{"weight_map": {"a": 1}}', '{"weight_map": {"a": "../x.safetensors"}}']
)
def test_an_index_that_is_none_is_one_line(folder: Path, index: str) -> None:
    (folder / "language" / "model.safetensors").rename(folder / "language" / "x.safetensors")
    (folder / "language" / "model.safetensors.index.json").write_text(index)
    assert "model.safetensors.index.json" in refusal(folder)


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_nan_or_infinity_in_a_model_folder_is_told_at_load(
    folder: Path, component: str, number: float
) -> None:
    path = folder / component / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[-1] = number
    save_file(tensors, path)
    assert f"{folder / component} holds NaN or infinity in 1 tensors: {name};" in refusal(folder)


def test_weights_of_another_kind_are_one_line(folder: Path) -> None:
    path = folder / "language" / "model.safetensors"
    save_file({name: tensor.to(torch.int32) for name, tensor in load_file(path).items()}, path)
    assert "language has misshapen" in refusal(folder) and "torch.int32 for" in refusal(folder)


POINTED = (
    "illume.json",
    "language/config.json",
    "encoder/model.safetensors",
    "text_tokenizer/tokenizer.json",
)


@pytest.mark.parametrize("name", (*POINTED, "text_tokenizer/tokenizer_config.json"))
def test_a_git_lfs_pointer_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text(POINTER)
    line = refusal(folder)
    assert line.startswith(f"{folder / name} is a git-lfs pointer") and "git lfs pull" in line


def another(illume: Illume, folder: Path) -> Path:
    """A model of the same sizes and other weights."""
    with torch.no_grad():
        for parameter in illume.parameters():
            parameter.add_(0.01)
    illume.save_pretrained(str(folder))
    return folder


def test_components_of_two_models_are_not_taken_for_one(illume: Illume, folder: Path, tmp_path: Path) -> None:
    other = another(illume, tmp_path / "other")
    shutil.rmtree(folder / "language")
    shutil.copytree(other / "language", folder / "language")
    assert "language/model.safetensors is of another model than the folder's illume.json" in refusal(folder)
    assert refusal(other) == ""


def test_a_folder_that_another_program_wrote_needs_no_fingerprint(folder: Path) -> None:
    for path in folder.rglob("*.safetensors"):
        save_file(load_file(path), path)
    assert refusal(folder) == ""


def test_a_folder_that_is_replaced_while_it_is_read_is_read_again(
    illume: Illume, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import models.model_folder as module

    other, load = another(illume, tmp_path / "other"), module._load_component
    loaded = []

    def replaced(path: Path, *more: Any) -> Any:
        loaded.append(path.name)
        part = load(path, *more)
        if len(loaded) == 1:  # after the encoder
            shutil.rmtree(folder)
            other.rename(folder)
        return part

    wanted = Illume.from_pretrained(str(other)).state_dict()
    monkeypatch.setattr(module, "_load_component", replaced)
    found = Illume.from_pretrained(str(folder)).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    assert loaded == ["encoder", *COMPONENTS]


def test_the_hash_of_a_folder_follows_links(illume: Illume, folder: Path, tmp_path: Path) -> None:
    """Two models that share components by links, in all but the language model, are two."""
    other, plain = another(illume, tmp_path / "other"), folder_hash(folder)
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in folder.iterdir():
        (linked / path.name).symlink_to(path)
    assert folder_hash(linked) == plain
    (linked / "language").unlink()
    (linked / "language").symlink_to(other / "language")
    assert folder_hash(linked) not in (plain, folder_hash(other))
    (linked / "tokenizer").unlink()
    shutil.copytree(folder / "tokenizer", linked / "tokenizer")
    before = folder_hash(linked)
    (linked / "tokenizer" / "model.safetensors").unlink()
    (linked / "tokenizer" / "model.safetensors").symlink_to(other / "tokenizer" / "model.safetensors")
    assert folder_hash(linked) != before
    (linked / "loop").symlink_to(linked)
    assert len(folder_hash(linked)) == 12
    (linked / "tokenizer" / "more.json").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match=r"more\.json, a link to nowhere, is not there"):
        folder_hash(linked)
