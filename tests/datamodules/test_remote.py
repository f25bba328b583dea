"""Remote shards behind a server that fails, stalls and cuts: whole ones arrive, others are reported, nothing hangs."""

import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from datamodules import remote
from datamodules.remote import Unreachable, local_copy
from datamodules.shard import Shard
from datamodules.shard_paths import find_shards
from datamodules.skips import SkipTally
from datamodules.source_stream import Source
from datamodules.stream import MixedStream
from tests.datamodules.tars import write_shards


def _fault(waiting, body):
    """The next fault; asking for the head alone uses none up."""
    if not waiting or waiting[0].startswith("always"):
        return waiting[0] if waiting else None
    return waiting.pop(0) if body else None


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves the shards of a folder; `faults` says how each of the first requests for a shard goes wrong."""
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(remote, "TIMEOUT", 0.5)
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
            name = self.path.partition("?")[0].strip("/")
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


def test_a_shard_is_copied_and_its_copy_removed(server):
    with local_copy(f"{server.url}/0.tar") as path:
        assert len(Shard(path)) == 7
    assert not Path(path).exists()


@pytest.mark.parametrize("faults", [["500"], ["cut"], ["stall"], ["500", "cut", "stall", "500"]])
def test_passing_faults_are_retried(server, faults):
    server.faults["0.tar"] = list(faults)
    with local_copy(f"{server.url}/0.tar") as path:
        assert len(Shard(path)) == 7
    assert server.asked["0.tar"] > len(faults)


def test_lasting_faults_are_reported(server):
    server.faults["0.tar"] = ["always 500"]
    with (
        pytest.raises(Unreachable, match="could not be fetched: in 6 tries"),
        local_copy(f"{server.url}/0.tar"),
    ):
        pass
    with pytest.raises(Unreachable, match="the server has no such shard"), local_copy(f"{server.url}/9.tar"):
        pass


def test_secrets_of_urls_are_not_reported(server, caplog):
    """Neither its password nor its signature; URLs that differ in these alone are counted one by one."""
    server.faults["1.tar"] = ["always 500"]
    hidden = server.url.replace("//", "//user:PASSWORD@")
    shards = [f"{hidden}/{name}.tar?sig=SIGNATURE{number}" for name, number in (("0", 0), ("1", 1), ("1", 2))]
    stream = MixedStream({"a": Source(shards, 1, lambda sample, rng: sample["txt"].decode())}, 0)
    assert {next(stream).value for _ in range(21)} == {f"a0-{i}" for i in range(7)}
    skipped = SkipTally()
    skipped.add(stream.take_counts()[0])
    printed = f"{skipped.rows()} {skipped.state_dict()} {caplog.text}"
    assert sum(skipped.counts.values()) == 2 and f"{server.url}/1.tar (shard 1 of a)" in printed
    assert not re.search("PASSWORD|SIGNATURE", printed)


def test_a_url_of_no_file_system_is_refused_before_it_is_tried():
    with pytest.raises(
        ValueError, match="nosuch://bucket/.*: no file system for it: Protocol not known"
    ) as error:
        find_shards("nosuch://KEY:PASSWORD@bucket/{0..9}.tar?sig=SIGNATURE")
    assert not re.search("PASSWORD|SIGNATURE", str(error.value))


def test_a_stream_gives_all_samples_of_reachable_shards(server):
    server.faults["0.tar"] = ["cut"]
    shards = find_shards(server.url + "/{0..2}.tar")
    stream = MixedStream({"a": Source(shards, 1, lambda sample, rng: sample["txt"].decode())}, 0)
    skipped = SkipTally()
    seen = {next(stream).value for _ in range(30)}
    skipped.add(stream.take_counts()[0])
    assert seen == {f"a{s}-{i}" for s in range(2) for i in range(7)}
    assert skipped.counts == {("a", "the server has no such shard"): 1}
