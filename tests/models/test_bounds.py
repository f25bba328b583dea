"""Configs and headers that are hostile or mistyped are one clear line, soon, in little memory."""

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.models.conftest import refusal
from tests.models.test_model_folder import POINTER
from tests.models.test_weights import COMPONENTS

HOSTILE = (10**9, 10**6, 0, -1, None, "x", [[]], {"a": 1}, True, float("nan"))


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Where each value of a config stands, whole tables and lists too."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


@pytest.mark.parametrize("component", COMPONENTS)
def test_hostile_configs_load_or_are_refused_in_one_line(folder: Path, component: str) -> None:
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


def test_absurd_depths_are_refused_by_key(folder: Path) -> None:
    path = folder / "language" / "config.json"
    config = json.loads(path.read_text())
    for layers, printed in ((10**9, "1000000000"), (10**6, "1000000")):
        config["trunk"]["num_hidden_layers"] = layers
        path.write_text(json.dumps(config))
        assert f"language/config.json: trunk.num_hidden_layers is {layers:.3g}"[:60] in refusal(folder) or (
            f"trunk.num_hidden_layers is {printed}, and the weights beside it are" in refusal(folder)
        )


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
def test_hostile_weight_headers_are_refused(folder: Path, kind: str) -> None:
    path = folder / "language" / "model.safetensors"
    path.write_bytes(LIES[kind](path))
    line = refusal(folder)
    assert "language" in line and ("git lfs pull" in line) == (kind == "a pointer")
