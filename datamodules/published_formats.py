"""Ways in: how each published format is listed, and how its records become samples of shards.

A sample is bytes by ending; where a record cannot be used, the reason stands in its place.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.decode import IMAGE_ENDINGS, decode_image
from datamodules.places import find_shards
from datamodules.shard import BrokenSample, BrokenShard, Shard

PICTURES = tuple(f".{ending}" for ending in IMAGE_ENDINGS)
CAPTION_KEYS = ("caption", "text", "txt", "prompt")
IMAGE_KEYS = ("image", "img", "jpg", "png", "file_name", "image_path", "path")

Record = Any  # what a format needs to find one sample again
Members = dict[str, bytes]


@dataclass(frozen=True)
class Format:
    """A way in: how a source is listed, in chunks that a process can take, and how a chunk becomes samples."""

    chunks: Callable[[Path, int], list[Record]]
    samples: Callable[[Path, Path, Record], Iterator["Members | str"]]


def _inside(root: Path, name: str) -> Path:
    """A path below a folder.

    Raises:
        ValueError: it leads out of it.
    """
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ValueError("an image's path leads out of the folder")
    return path


def _picture(path: Path) -> tuple[str, bytes]:
    """An image's ending and bytes, decoded once to be sure.

    Raises:
        ValueError: it is missing or cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError("an image is missing") from error
    return _checked(content, path.suffix.lower().lstrip("."))


def _checked(content: bytes, ending: str = "") -> tuple[str, bytes]:
    decode_image(content, 8)
    if ending not in IMAGE_ENDINGS:
        ending = "png" if content[:4] == b"\x89PNG" else "webp" if content[8:12] == b"WEBP" else "jpg"
    return ending, content


def _words(text: Any) -> bytes:
    if not isinstance(text, str) or not text.strip():
        raise ValueError("a caption is empty")
    return text.strip().encode("utf-8")


def _pair(picture: tuple[str, bytes], text: Any) -> Members:
    return {picture[0]: picture[1], "txt": _words(text)}


# folder: images beside their captions


def _folder_chunks(source: Path, size: int) -> list[Record]:
    captions = next(
        (
            source / name
            for name in ("captions.json", "captions.jsonl", "metadata.jsonl")
            if (source / name).is_file()
        ),
        None,
    )
    if captions is None:
        names = sorted(str(p.relative_to(source)) for p in source.rglob("*") if p.suffix.lower() in PICTURES)
        return _slices([(name, None) for name in names], size)
    text = captions.read_text(encoding="utf-8")
    rows = (
        [json.loads(line) for line in text.splitlines() if line.strip()]
        if captions.suffix == ".jsonl"
        else json.loads(text)
    )
    if isinstance(rows, dict):
        pairs = sorted(rows.items())
    else:
        pairs = [(_first(row, IMAGE_KEYS), _first(row, CAPTION_KEYS)) for row in rows]
    return _slices(pairs, size)


def _first(row: Any, keys: Sequence[str]) -> Any:
    return next((row[key] for key in keys if key in row), None) if isinstance(row, dict) else None


def _folder_samples(source: Path, images: Path, chunk: Record) -> Iterator[Members | str]:
    for name, caption in chunk:
        yield _try(lambda name=name, caption=caption: _beside(source, name, caption))


def _beside(source: Path, name: Any, caption: Any) -> Members:
    if not isinstance(name, str):
        raise ValueError("a row names no image")
    path = _inside(source, name)
    if caption is None:
        beside = path.with_suffix(".txt")
        if not beside.is_file():
            raise ValueError("an image has no caption beside it")
        caption = beside.read_text(encoding="utf-8")
    return _pair(_picture(path), caption)


# img2dataset: shards of jpg, txt and json already, some of them without an image


def _shard_chunks(source: Path, size: int) -> list[Record]:
    return find_shards(str(source))


def _shard_samples(source: Path, images: Path, chunk: Record) -> Iterator[Members | str]:
    try:
        shard = Shard(chunk)
    except BrokenShard as error:
        yield str(error)
        return
    for number in range(len(shard)):
        yield _try(lambda number=number: _of_shard(shard, number))
    if shard.cut is not None:
        yield shard.cut
    shard.close()


def _of_shard(shard: Shard, number: int) -> Members:
    sample = shard.read(number)
    ending = next((ending for ending in IMAGE_ENDINGS if ending in sample), None)
    if ending is None:
        raise ValueError("a sample has no image")
    if "txt" not in sample:
        raise ValueError("a sample has no caption")
    return _pair(_checked(sample[ending], ending), sample["txt"].decode("utf-8"))


# parquet: files, folders of them, and what datasets.save_to_disk wrote


def _parquet_chunks(source: Path, size: int) -> list[Record]:
    arrow = _pyarrow()
    if source.is_dir() and (source / "dataset_info.json").is_file() or list(source.glob("*.arrow")):
        return [("arrow", str(path), None) for path in sorted(source.rglob("*.arrow"))]
    files = sorted(source.rglob("*.parquet")) if source.is_dir() else [source]
    if not files or not all(path.is_file() for path in files):
        raise FileNotFoundError(f"no parquet or arrow files at {source}")
    return [
        ("parquet", str(path), group)
        for path in files
        for group in range(arrow.parquet.ParquetFile(path).num_row_groups)
    ]


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError("parquet needs pyarrow: pip install -e '.[data]'") from error
    return pyarrow


def _parquet_samples(source: Path, images: Path, chunk: Record) -> Iterator[Members | str]:
    arrow, (kind, path, group) = _pyarrow(), chunk
    if kind == "parquet":
        rows = arrow.parquet.ParquetFile(path).read_row_group(group).to_pylist()
    else:
        with arrow.memory_map(path) as file:
            rows = arrow.ipc.open_stream(file).read_all().to_pylist()
    for row in rows:
        yield _try(lambda row=row: _of_row(row, images))


def _of_row(row: dict[str, Any], images: Path) -> Members:
    image, caption = _first(row, IMAGE_KEYS), _first(row, CAPTION_KEYS)
    caption = caption[0] if isinstance(caption, list) and caption else caption
    if isinstance(image, dict):  # datasets' Image: bytes, or a path beside the file
        image = image.get("bytes") or image.get("path")
    if isinstance(image, bytes):
        return _pair(_checked(image), caption)
    if isinstance(image, str):
        return _pair(_picture(_inside(images, image)), caption)
    raise ValueError("a row has no image")


# llava: a list of conversations, each about an image or none


def _llava_chunks(source: Path, size: int) -> list[Record]:
    rows = json.loads(source.read_text(encoding="utf-8"))
    if not isinstance(rows, list):
        raise ValueError(f"{source} is no list of conversations")
    return _slices(rows, size)


def _llava_samples(source: Path, images: Path, chunk: Record) -> Iterator[Members | str]:
    for row in chunk:
        yield _try(lambda row=row: _talk(row, images))


def _talk(row: Any, images: Path) -> Members:
    turns = row.get("conversations") if isinstance(row, dict) else None
    if not isinstance(turns, list) or not turns:
        raise ValueError("a row has no conversations")
    said = json.dumps({"conversations": turns}, ensure_ascii=False).encode("utf-8")
    if not row.get("image"):
        return {"json": said}
    ending, content = _picture(_inside(images, str(row["image"])))
    return {ending: content, "json": said}


# edits: a folder for each edit, or for each scene


def _edit_chunks(source: Path, size: int) -> list[Record]:
    listed = source / "edit_turns.json"  # MagicBrush
    if listed.is_file():
        return _slices(json.loads(listed.read_text(encoding="utf-8")), size)
    folders = sorted(str(path.parent.relative_to(source)) for path in source.rglob("prompt.json"))
    if not folders:
        raise FileNotFoundError(
            f"no edits at {source}: neither edit_turns.json nor folders with a prompt.json"
        )
    return _slices(folders, size)


def _edit_samples(source: Path, images: Path, chunk: Record) -> Iterator[Members | str]:
    for record in chunk:
        if isinstance(record, dict):
            yield _try(lambda record=record: _magicbrush(record, images))
            continue
        try:
            folder = _inside(source, record)
            words = json.loads((folder / "prompt.json").read_text(encoding="utf-8")).get("edit")
            befores = sorted(folder.glob("*_0.*"))
        except (ValueError, OSError, AttributeError):
            yield "a prompt.json cannot be read"
            continue
        if not befores:
            yield "an edit has no images"
        for before in befores:
            after = before.with_name(before.name.replace("_0.", "_1."))
            yield _try(lambda before=before, after=after, words=words: _triple(before, words, after))


def _magicbrush(row: dict[str, Any], images: Path) -> Members:
    names = [str(row.get(key, "")) for key in ("input", "output")]
    scene = str(row.get("input", "")).split("-")[0]
    before, after = (
        path if (path := _inside(images, name)).is_file() else _inside(images, f"{scene}/{name}")
        for name in names
    )
    return _triple(before, row.get("instruction"), after)


def _triple(before: Path, words: Any, after: Path) -> Members:
    (one, first), (two, second) = _picture(before), _picture(after)
    said = _words(words).decode("utf-8")
    parts = [{"see": f"0.{one}"}, {"text": said, "learn": False}, {"draw": f"1.{two}"}]
    return {"json": json.dumps({"parts": parts}).encode(), f"0.{one}": first, f"1.{two}": second}


FORMATS = {
    "folder": Format(_folder_chunks, _folder_samples),
    "img2dataset": Format(_shard_chunks, _shard_samples),
    "parquet": Format(_parquet_chunks, _parquet_samples),
    "llava": Format(_llava_chunks, _llava_samples),
    "edits": Format(_edit_chunks, _edit_samples),
}


def _slices(rows: Sequence[Record], size: int) -> list[Record]:
    return [list(rows[start : start + size]) for start in range(0, len(rows), size)]


def _try(make: Callable[[], Members]) -> Members | str:
    """A sample, or the reason why there is none."""
    try:
        return make()
    except (ValueError, BrokenSample, OSError, TypeError, AttributeError) as error:
        return str(error) or type(error).__name__
