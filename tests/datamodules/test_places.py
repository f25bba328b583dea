"""Shards behind a server that fails, stalls and cuts: whole ones arrive, hopeless ones are told, nothing hangs."""

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from datamodules import places
from datamodules.places import Unreachable, declared, find_shards, local
from datamodules.shard import Shard
from datamodules.skipped import Skipped
from datamodules.stream import MixedStream, Source
from tests.datamodules.tars import write_shards


def _fault(waiting, body):
    """The next fault; asking for the head alone uses none up."""
    if not waiting or waiting[0].startswith("always"):
        return waiting[0] if waiting else None
    return waiting.pop(0) if body else None


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves the shards of a folder; `faults` says how each of the first requests for a shard goes wrong."""
    monkeypatch.setattr(places, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(places, "SILENCE", 0.5)
    write_shards(tmp_path / "served", shards=2)
    faults: dict[str, list[str]] = {}
    asked: Counter[str] = Counter()
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            """Says nothing."""

        def do_HEAD(self):
            self._answer(body=False)

        def do_GET(self):
            self._answer(body=True)

        def _answer(self, body):
            name = self.path.strip("/")
            asked[name] += body
            path = tmp_path / "served" / name
            fault = _fault(faults.get(name, []), body)
            if fault in ("500", "always 500"):
                self.send_error(500)
                return
            if not path.is_file():
                self.send_error(404)
                return
            content = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if not body:
                return
            if fault == "stall":
                over.wait(5)
            sent = content[: len(content) // 2] if fault == "cut" else content
            self.wfile.write(sent)
            self.close_connection = fault is not None

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    httpd.faults, httpd.asked = faults, asked
    httpd.url = f"http://127.0.0.1:{httpd.server_port}"
    yield httpd
    over.set()
    httpd.shutdown()


def test_a_whole_shard_is_copied_and_its_copy_goes_away(server):
    with local(f"{server.url}/0.tar") as path:
        assert len(Shard(path)) == 7
    assert not Path(path).exists()


@pytest.mark.parametrize("faults", [["500"], ["cut"], ["stall"], ["500", "cut", "stall", "500"]])
def test_what_passes_is_waited_for(server, faults):
    server.faults["0.tar"] = list(faults)
    with local(f"{server.url}/0.tar") as path:
        assert len(Shard(path)) == 7
    assert server.asked["0.tar"] > len(faults)


def test_what_does_not_pass_is_told(server):
    server.faults["0.tar"] = ["always 500"]
    with pytest.raises(Unreachable, match="could not be fetched: in 6 tries"), local(f"{server.url}/0.tar"):
        pass
    with pytest.raises(Unreachable, match="the server has no such shard"), local(f"{server.url}/9.tar"):
        pass


def test_a_stream_gives_all_that_can_be_had(server):
    server.faults["0.tar"] = ["cut"]
    shards = find_shards(server.url + "/{0..2}.tar")
    stream = MixedStream({"a": Source(shards, 1, lambda sample, rng: sample["txt"].decode())}, 0)
    skipped = Skipped()
    seen = {next(stream).value for _ in range(30)}
    skipped.add(stream.take_skips())
    assert seen == {f"a{s}-{i}" for s in range(2) for i in range(7)}
    assert skipped.counts == {("a", "the server has no such shard"): 1}


def test_folders_patterns_and_lists(tmp_path):
    shards = write_shards(tmp_path / "a") + write_shards(tmp_path / "b", shards=2)
    assert find_shards(str(tmp_path / "a")) == shards[:3]
    assert find_shards(str(tmp_path / "a" / "{0..1}.tar")) == shards[:2]
    assert find_shards([str(tmp_path / "a"), str(tmp_path / "b")]) == shards
    assert find_shards(str(tmp_path / "a" / "{2..3}.tar"))[1].endswith("3.tar")  # to be counted as missing
    with pytest.raises(FileNotFoundError, match=r"no shards at .*: put yours there"):
        find_shards(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no shards at .*python -m playground.shards"):
        find_shards("runs/playground/data/nowhere")


def test_an_index_says_how_many_samples_there_should_be(tmp_path):
    (tmp_path / "index.json").write_text('{"shards": {"0.tar": 7, "1.tar": {"samples": 5}, "2.tar": "many"}}')
    assert [declared(str(tmp_path / f"{i}.tar")) for i in range(4)] == [7, 5, None, None]
    assert declared("http://somewhere/0.tar") is None
