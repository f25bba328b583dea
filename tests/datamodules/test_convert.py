"""Every way in gives shards that the templates read; what cannot be used is counted; a cut-off conversion goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.document import See, Text
from tests.datamodules.conversions import documents, run, skipped
from tests.datamodules.tars import png, write_samples


def test_a_folder_of_images_with_captions_beside_them(tmp_path):
    source = tmp_path / "source/sub"
    source.mkdir(parents=True)
    for i in range(5):
        (source / f"{i}.png").write_bytes(png(i))
        (source / f"{i}.txt").write_text(f"number {i}")
    (source / "mute.png").write_bytes(png())
    (source / "cut.png").write_bytes(png()[:50])
    (source / "cut.txt").write_text("cut")
    assert run("folder", tmp_path / "source", "--out", tmp_path / "out", "--samples-per-shard", 3) == 0
    captions = [document[-1].text for document in documents(tmp_path / "out", "describe")]
    assert captions == [f"number {i}" for i in range(5)]
    assert skipped(tmp_path / "out") == {
        "an image has no caption beside it": 1,
        "not a readable image, cut short": 1,
    }
    assert len(list((tmp_path / "out").glob("*.tar"))) == 2  # the third would hold none


@pytest.mark.parametrize("kind", ["rows", "lines", "names"])
def test_a_folder_with_its_captions_in_one_file(tmp_path, kind):
    (tmp_path / "a.png").write_bytes(png(1))
    rows = [
        {"file_name": "a.png", "text": "a one"},
        {"file_name": "../a.png", "text": "out"},
        {"text": "none"},
    ]
    content = {
        "rows": ("captions.json", json.dumps(rows)),
        "lines": ("metadata.jsonl", "\n".join(map(json.dumps, rows))),
        "names": ("captions.json", json.dumps({"a.png": "a one", "../a.png": "out"})),
    }[kind]
    (tmp_path / content[0]).write_text(content[1])
    assert run("folder", tmp_path, "--out", tmp_path / "out") == 0
    assert [document[-1] for document in documents(tmp_path / "out", "describe")] == [
        Text("a one", learn=True)
    ]
    assert skipped(tmp_path / "out")["an image's path leads out of the folder"] == 1


def test_img2dataset(tmp_path):
    samples = {
        "a": {"jpg": png(1), "txt": b"one", "json": b"{}"},
        "b": {"json": b"{}"},
        "c": {"jpg": b"no", "txt": b"no"},
    }
    write_samples(tmp_path / "in/00000.tar", samples)
    (tmp_path / "in/00001.tar").write_bytes(b"")
    assert run("img2dataset", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert [document[-1].text for document in documents(tmp_path / "out", "describe")] == ["one"]
    assert skipped(tmp_path / "out") == {
        "a sample has no image": 1,
        "not a readable image, no image": 1,
        "the shard is an empty file": 1,
    }


def test_llava(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").write_bytes(png(3))
    talk = [{"from": "human", "value": "<image>\nwhat ?"}, {"from": "gpt", "value": "a dog"}]
    rows = [
        {"id": "1", "image": "a.jpg", "conversations": talk},
        {"id": "2", "conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "hi"}]},
        {"id": "3", "image": "gone.jpg", "conversations": talk},
        {"id": "4"},
    ]
    (tmp_path / "llava.json").write_text(json.dumps(rows))
    assert (
        run("llava", tmp_path / "llava.json", "--images", tmp_path / "images", "--out", tmp_path / "out") == 0
    )
    seen, plain = documents(tmp_path / "out", "conversation")
    assert isinstance(seen[0], See) and seen[1:] == [Text("what ?"), Text("a dog", learn=True)]
    assert plain == [Text("hello"), Text("hi", learn=True)]
    assert skipped(tmp_path / "out") == {"an image is missing": 1, "a row has no conversations": 1}


def test_edits_of_instructpix2pix(tmp_path):
    folder = tmp_path / "in/0000001"
    folder.mkdir(parents=True)
    (folder / "prompt.json").write_text(json.dumps({"edit": "make it blue", "input": "x", "output": "y"}))
    for name, value in (("7_0.jpg", 1), ("7_1.jpg", 2), ("9_0.jpg", 3)):
        (folder / name).write_bytes(png(value))
    assert run("edits", tmp_path / "in", "--out", tmp_path / "out") == 0
    (edit,) = documents(tmp_path / "out", "edit")
    assert edit[1].text.endswith("make it blue") and (int(edit[0].image.max()), int(edit[2].image.max())) == (
        1,
        2,
    )
    assert skipped(tmp_path / "out") == {"an image is missing": 1}


def test_edits_of_magicbrush(tmp_path):
    (tmp_path / "in/images/12").mkdir(parents=True)
    for name, value in (("12-input.png", 1), ("12-output1.png", 2)):
        (tmp_path / "in/images/12" / name).write_bytes(png(value))
    rows = [{"input": "12-input.png", "output": "12-output1.png", "instruction": "make it blue"}]
    (tmp_path / "in/edit_turns.json").write_text(json.dumps(rows))
    assert run("edits", tmp_path / "in", "--images", tmp_path / "in/images", "--out", tmp_path / "out") == 0
    (edit,) = documents(tmp_path / "out", "edit")
    assert (int(edit[0].image.max()), int(edit[2].image.max())) == (1, 2)


def test_parquet(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.ipc
    import pyarrow.parquet

    rows = [
        {"image": {"bytes": png(1), "path": None}, "caption": "one"},
        {"image": {"bytes": png(2), "path": None}, "caption": ""},
        {"image": {"bytes": None, "path": None}, "caption": "three"},
    ]
    pyarrow.parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=2)
    assert run("parquet", tmp_path / "a.parquet", "--out", tmp_path / "out") == 0
    assert [document[-1].text for document in documents(tmp_path / "out", "describe")] == ["one"]
    assert skipped(tmp_path / "out") == {"a caption is empty": 1, "a row has no image": 1}
    saved = tmp_path / "saved"  # as datasets.save_to_disk leaves it
    saved.mkdir()
    (saved / "dataset_info.json").write_text("{}")
    table = arrow.Table.from_pylist([{"image": {"bytes": png(3), "path": None}, "text": "four"}])
    with pyarrow.ipc.new_stream(saved / "data-00000-of-00001.arrow", table.schema) as file:
        file.write_table(table)
    assert run("parquet", saved, "--out", tmp_path / "more") == 0
    assert [document[-1].text for document in documents(tmp_path / "more", "describe")] == ["four"]


def test_resume_is_exact(tmp_path, capsys):
    for i in range(6):
        (tmp_path / f"{i}.png").write_bytes(png(i))
        (tmp_path / f"{i}.txt").write_text(f"number {i}")
    arguments = ("folder", tmp_path, "--out", tmp_path / "out", "--samples-per-shard", 2)
    run(*arguments)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.tar")}
    (tmp_path / "out/shard-000001.tar").rename(tmp_path / "out/shard-000001.tmp")  # cut off while writing it
    untouched = (tmp_path / "out/shard-000000.tar").stat().st_mtime_ns
    assert run(*arguments) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.tar")} == whole
    assert (tmp_path / "out/shard-000000.tar").stat().st_mtime_ns == untouched
    capsys.readouterr()
    assert run("folder", tmp_path, "--out", tmp_path / "out", "--samples-per-shard", 3) == 2
    assert "begun from something else, or with other settings" in capsys.readouterr().err


@pytest.mark.parametrize("format", ["folder", "llava", "parquet", "edits", "img2dataset"])
def test_a_source_that_is_not_there_is_one_line(format, tmp_path, capsys):
    assert run(format, tmp_path / "nowhere", "--out", tmp_path / "out") == 2
    assert "nowhere is not there" in capsys.readouterr().err and not (tmp_path / "out").exists()


def shards(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tar"))}


def beside(folder, samples):
    folder.mkdir()
    for i in range(samples):
        (folder / f"{i:03d}.png").write_bytes(png(i % 200, 256))
        (folder / f"{i:03d}.txt").write_text(f"number {i}")
    return folder


def start(source, out):
    command = [sys.executable, "-m", "datamodules.convert", "folder", source, "--out", out, "--workers", "2"]
    command += ["--samples-per-shard", "4"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*map(str, command)], stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment
    )


def wait_for(what, seconds=300):
    end = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < end:
        time.sleep(0.01)
    return found


def test_a_killed_conversion_resumes_to_the_same_shards(tmp_path):
    source = beside(tmp_path / "source", 120)
    process = start(source, tmp_path / "out")
    assert wait_for(lambda: len(list((tmp_path / "out").glob("*.tar"))) > 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert all(len(content) > 4 * 512 for content in shards(tmp_path / "out").values())
    for out in ("out", "fresh"):
        assert run("folder", source, "--out", tmp_path / out, "--samples-per-shard", 4) == 0
    assert shards(tmp_path / "out") == shards(tmp_path / "fresh")
    for name in ("summary.json", "index.json"):
        assert (tmp_path / "out" / name).read_text() == (tmp_path / "fresh" / name).read_text()
    assert not [path for path in (tmp_path / "out").iterdir() if path.suffix not in (".tar", ".json")]


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_worker_that_is_killed_ends_it_in_one_line(tmp_path):
    source = beside(tmp_path / "source", 400)
    process = start(source, tmp_path / "out")
    assert wait_for(lambda: list((tmp_path / "out").glob("*.tar")))
    os.kill(children(process.pid)[-1], signal.SIGKILL)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2 and "a process was killed" in said
    assert "Traceback" not in said and "fewer --workers" in said


def test_workers_end_with_their_parent(tmp_path):
    process = start(beside(tmp_path / "source", 400), tmp_path / "out")
    assert wait_for(lambda: list((tmp_path / "out").glob("*.tar")))
    workers = [Path(f"/proc/{child}") for child in children(process.pid)]
    process.kill()
    process.communicate()
    assert wait_for(lambda: not any(worker.exists() for worker in workers), 60)


def test_a_folder_is_not_converted_into_itself(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "a.txt").write_text("one")
    assert run("folder", tmp_path, "--out", tmp_path) == 2
    assert "is the source itself" in capsys.readouterr().err and not list(tmp_path.glob("*.tar"))


def test_a_changed_source_is_not_resumed(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "captions.json").write_text(json.dumps({"a.png": "one"}))
    assert run("folder", tmp_path, "--out", tmp_path / "out") == 0
    (tmp_path / "captions.json").write_text(json.dumps({"a.png": "two"}))
    assert run("folder", tmp_path, "--out", tmp_path / "out") == 2
    assert "begun from something else" in capsys.readouterr().err
    assert run("folder", tmp_path, "--out", tmp_path / "out", "--caption", "caption") == 2


def test_no_shard_is_written_without_samples(tmp_path):
    rows = [{"image": "gone.png", "text": "x"}] * 3 + [{"image": "a.png", "text": "one"}]
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "captions.json").write_text(json.dumps(rows))
    arguments = ("folder", tmp_path, "--out", tmp_path / "out", "--samples-per-shard", 3)
    assert run(*arguments) == 0 and list(shards(tmp_path / "out")) == ["shard-000001.tar"]
    assert json.loads((tmp_path / "out/index.json").read_text())["shards"] == {"shard-000001.tar": 1}
    before = (tmp_path / "out/shard-000000.json").stat().st_mtime_ns
    assert run(*arguments) == 0 and (tmp_path / "out/shard-000000.json").stat().st_mtime_ns == before


def test_no_samples_are_exit_code_two_with_the_reasons(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"no")
    (tmp_path / "a.txt").write_text("one")
    assert run("folder", tmp_path, "--out", tmp_path / "out") == 2
    said = capsys.readouterr()
    assert "skipped 1: not a readable image, no image (a.png)" in said.out and "not one sample" in said.err
    assert not list((tmp_path / "out").glob("*.tar"))


def stale_folder(source):
    source.mkdir()
    (source / "a.png").write_bytes(png(1))
    (source / "a.txt").write_text("one")
    return ["folder", source], [source / "a.png", source / "a.txt"]


def stale_list(source):
    source.mkdir()
    (source / "a.png").write_bytes(png(1))
    (source / "captions.json").write_text(json.dumps({"a.png": "one"}))
    return ["folder", source], [source / "a.png"]


def stale_llava(source):
    source.mkdir()
    (source / "a.png").write_bytes(png(1))
    talk = [{"from": "human", "value": "<image>\nwhat ?"}, {"from": "gpt", "value": "a dog"}]
    (source / "llava.json").write_text(json.dumps([{"image": "a.png", "conversations": talk}]))
    return ["llava", source / "llava.json"], [source / "a.png"]


def stale_edits(source):
    (source / "1").mkdir(parents=True)
    (source / "1/prompt.json").write_text(json.dumps({"edit": "make it blue"}))
    for name in ("7_0.png", "7_1.png"):
        (source / "1" / name).write_bytes(png(1))
    return ["edits", source], [source / "1/prompt.json", source / "1/7_1.png"]


def stale_edit_list(source):
    (source / "images/12").mkdir(parents=True)
    for name in ("12-input.png", "12-output1.png"):
        (source / "images/12" / name).write_bytes(png(1))
    rows = [{"input": "12-input.png", "output": "12-output1.png", "instruction": "make it blue"}]
    (source / "edit_turns.json").write_text(json.dumps(rows))
    return ["edits", source], [source / "images/12/12-input.png", source / "images/12/12-output1.png"]


def stale_img2dataset(source):
    write_samples(source / "0.tar", {"a": {"png": png(1), "txt": b"one"}})
    return ["img2dataset", source], [source / "0.tar"]


def stale_parquet(source):
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    source.mkdir()
    table = arrow.Table.from_pylist([{"image": png(1), "caption": "one"}])
    pyarrow.parquet.write_table(table, source / "a.parquet")
    return ["parquet", source], [source / "a.parquet"]


STALE = [
    stale_folder,
    stale_list,
    stale_llava,
    stale_edits,
    stale_edit_list,
    stale_img2dataset,
    stale_parquet,
]


@pytest.mark.parametrize("make", STALE)
def test_a_changed_file_is_refused_and_an_unchanged_source_resumes(make, tmp_path, capsys):
    arguments, files = make(tmp_path / "source")
    assert run(*arguments, "--out", tmp_path / "out") == 0
    before = shards(tmp_path / "out")
    assert run(*arguments, "--out", tmp_path / "out") == 0 and shards(tmp_path / "out") == before
    for file in files:
        about = file.stat()
        os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns + 1))  # as one of the same size that is new
        capsys.readouterr()
        assert run(*arguments, "--out", tmp_path / "out") == 2
        said = capsys.readouterr().err
        assert "or its files have changed since: name another folder, or remove " in said
        assert said.count("\n") == 1 and shards(tmp_path / "out") == before
        os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
        assert run(*arguments, "--out", tmp_path / "out") == 0
