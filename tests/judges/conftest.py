import pytest

from judges.open_ai import OpenAIJudge
from tests.fixtures import tiny_illume
from tests.judges.fake_server import KEY, Server, ok

__all__ = ["tiny_illume"]


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """(script, settings) -> the server and a judge that asks it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    servers = []

    def start(*script, **settings):
        servers.append(Server(script or [ok()]))
        usual = {
            "first_wait": 0.01,
            "tries": 3,
            "concurrency": 1,
            "timeout": 2.0,
            "cache": str(tmp_path / "cache"),
        }
        return servers[-1], OpenAIJudge("m", servers[-1].url, **{**usual, **settings})

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
