"""YAML of anybody's: what it unfolds to is counted before it is built, and what is wrong is one line."""

import time
from pathlib import Path

import pytest

from common.safe_yaml import MAX_BYTES, parse_yaml, read_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join('*' + chr(97 + i) for _ in range(10))}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (BOMB, "line 6: it unfolds to more than 1000000 values"),
        ("a: " + "[" * 100_000 + "]" * 100_000, "more than 64 deep"),
        ("a: " + "{a: " * 1000 + "1" + "}" * 1000, "more than 64 deep"),
        ("m: &m {x: *m}", r"\*m stands within what it names"),
        ("? &m [*m]\n: b", r"\*m stands within what it names"),
        ("a: 1\na: 2", "line 2: the key 'a' stands twice"),
        ("a: {b: 1, b: 2}", "the key 'b' stands twice"),
        ("x: !!python/object/apply:os.system ['false']", "could not determine a constructor"),
        ("x: !!python/name:os.system", "could not determine a constructor"),
        ("x: {a", "is not valid YAML: did not find"),
        ("a: *nowhere", "undefined alias"),
        ("a: 2020-99-99", "not valid YAML: month"),
        ("a: 1" + "0" * 5000, "not valid YAML"),
        ("{[a]: 1}", "unhashable key"),
        ("a: 1\n---\nb: 2", "another document"),
        ("\x00", "control characters|not valid"),
    ],
    ids=lambda value: value[:24],
)
def test_what_is_wrong_is_one_line_at_once(text: str, line: str) -> None:
    begun = time.monotonic()
    with pytest.raises(ValueError, match=line) as error:
        parse_yaml(text, "x.yaml")
    assert str(error.value).startswith("x.yaml") and "\n" not in str(error.value)
    assert time.monotonic() - begun < 2


def test_what_is_plain_is_read() -> None:
    text = "a: &a {b: 1, c: {b: 2}}\nd: {<<: *a, b: 3}\ne: [*a, *a]\nf: .nan\n"
    found = parse_yaml(text, "x.yaml")
    assert (
        found["d"] == {"b": 3, "c": {"b": 2}} and found["e"] == [found["a"]] * 2 and found["f"] != found["f"]
    )
    assert parse_yaml("", "x.yaml") is None


def test_files_of_other_kinds_and_encodings(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes("a: café\n".encode(encoding))
        assert read_yaml(path) == {"a": "café"}
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(ValueError, match="line 2: not UTF-8"):
        read_yaml(path)
    path.write_bytes(b"# " + b"x" * MAX_BYTES)
    with pytest.raises(ValueError, match="larger than 16 MiB"):
        read_yaml(path)
    for other in (tmp_path, Path("/dev/zero"), tmp_path / "absent"):
        with pytest.raises(OSError):
            read_yaml(other)
