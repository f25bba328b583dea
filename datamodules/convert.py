"""Makes shards of what others publish: `python -m datamodules.convert FORMAT SOURCE --out DIR`.

| FORMAT        | SOURCE                                                                    | template     |
|---------------|---------------------------------------------------------------------------|--------------|
| folder        | images, each with a .txt of the same name, or a captions.json / .jsonl     | draw, ...    |
| img2dataset   | what img2dataset wrote in its webdataset format                            | draw, ...    |
| parquet       | a parquet file, a folder of them, or a saved Hugging Face data set          | draw, ...    |
| llava         | a LLaVA JSON (Pretrain 558K, instruct); --images is where its images are    | conversation |
| edits         | InstructPix2Pix's or MagicBrush's folders                                   | edit         |

Restartable: a shard bears its name only when it is whole, and one that is there is not made again. What cannot be used is
counted by reason in summary.json, and is in no shard.
"""

import argparse
import io
import json
import os
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.progress import Progress

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
        raise ValueError("parquet needs pyarrow: pip install 'open-illume[data]'") from error
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


@dataclass(frozen=True)
class Task:
    """One shard to write."""

    format: str
    source: Path
    images: Path
    chunk: Record
    path: Path
    number: int


@dataclass
class Written:
    """What became of a shard."""

    path: str
    samples: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


def write(task: Task) -> Written:
    """Writes one shard, and beside it a note of what was skipped; nothing bears its name before it is whole."""
    done = Written(task.path.name)
    part = task.path.with_suffix(".tmp")
    with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
        for made in FORMATS[task.format].samples(task.source, task.images, task.chunk):
            if isinstance(made, str):
                done.skipped[made.partition(":")[0]] += 1
                continue
            for ending, content in made.items():
                member = tarfile.TarInfo(f"{task.number:06d}{done.samples:06d}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            done.samples += 1
    note = {"samples": done.samples, "skipped": dict(done.skipped)}
    task.path.with_suffix(".json").write_text(json.dumps(note) + "\n", encoding="utf-8")
    part.replace(task.path)
    return done


def convert(
    name: str, source: Path, out: Path, images: Path | None, size: int, workers: int
) -> dict[str, Any]:
    """Writes all shards that are not there yet; returns the summary.

    Raises:
        ValueError: the folder holds, or was going to hold, something else.
        FileNotFoundError: there is no such source.
    """
    if not source.exists():
        raise FileNotFoundError(f"{source} is not there")
    images = images or (source if source.is_dir() else source.parent)
    chunks = FORMATS[name].chunks(source, size)
    if not chunks:
        raise ValueError(f"{source} holds nothing that format {name!r} knows")
    plan = {"format": name, "source": str(source.resolve()), "samples_per_shard": size, "shards": len(chunks)}
    out.mkdir(parents=True, exist_ok=True)
    noted = out / "plan.json"
    if noted.is_file() and json.loads(noted.read_text(encoding="utf-8")) != plan:
        raise ValueError(f"{out} was begun from something else, or with other settings: name another folder")
    noted.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")
    tasks = [
        Task(name, source, images, chunk, out / f"shard-{number:06d}.tar", number)
        for number, chunk in enumerate(chunks)
        if not (out / f"shard-{number:06d}.tar").exists()
    ]
    with get_context("spawn").Pool(min(workers, max(1, len(tasks)))) as pool, Progress(transient=True) as bar:
        for _ in bar.track(pool.imap_unordered(write, tasks), total=len(tasks), description="shards"):
            pass
    return _summary(out, len(chunks))


def _summary(out: Path, shards: int) -> dict[str, Any]:
    samples, skipped = {}, Counter()
    for number in range(shards):
        note = json.loads((out / f"shard-{number:06d}.json").read_text(encoding="utf-8"))
        samples[f"shard-{number:06d}.tar"] = note["samples"]
        skipped.update(note["skipped"])
    index = {"by": "datamodules.convert", "samples": sum(samples.values()), "shards": samples}
    (out / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    found = {"shards": shards, "samples": index["samples"], "skipped": dict(skipped.most_common())}
    (out / "summary.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m datamodules.convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("format", choices=tuple(FORMATS))
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder that takes the shards")
    parser.add_argument("--images", type=Path, help="folder that the source's image paths start from")
    parser.add_argument("--samples-per-shard", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        if options.samples_per_shard < 1 or options.workers < 1:
            raise ValueError("--samples-per-shard and --workers must be at least 1")
        found = convert(
            options.format,
            options.source,
            options.out,
            options.images,
            options.samples_per_shard,
            options.workers,
        )
    except (ValueError, OSError) as error:
        print(f"convert: {error}", file=sys.stderr)
        return 2
    print(f"convert: {found['samples']} samples in {found['shards']} shards in {options.out}")
    for reason, count in found["skipped"].items():
        print(f"convert: skipped {count}: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
