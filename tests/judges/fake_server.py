"""A chat server on loopback that misbehaves on purpose."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch

KEY = "sk-very-secret-0123456789"
VERDICT = {"reason": "fine", "ok": True}
GOOD = {
    "rationale": "a red circle",
    **dict.fromkeys(("object", "count", "colour", "relation"), VERDICT),
    "score": 9,
    "overall": True,
}
CUT, STALL, GONE = "cut", "stall", "gone"


class Server(ThreadingHTTPServer):
    """Answers from a script, one entry a call: (status, headers, content or a body of bytes); the last one repeats."""

    daemon_threads = True

    def __init__(self, script):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.requests, self.lock = list(script), [], threading.Lock()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def next(self):
        with self.lock:
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append(
            (time.monotonic(), request, {k.lower(): v for k, v in self.headers.items()})
        )
        status, headers, content = self.server.next()
        if content == STALL:
            time.sleep(3)
            return
        if content == GONE:
            self.connection.close()
            return
        if callable(content):
            content(self)
            return
        body = content if isinstance(content, bytes) else json.dumps(completion(content)).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body) + (500 if headers.get("x") == CUT else 0)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def completion(content):
    said = (
        content
        if isinstance(content, dict) and "role" in content
        else {"role": "assistant", "content": content}
    )
    return {
        "id": "1", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": said}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }  # fmt: skip


def ok(content=None):
    return 200, {}, json.dumps(GOOD) if content is None else content


def pictures(count):
    return torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 3, 8, 8)
