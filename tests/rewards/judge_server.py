"""An OpenAI-compatible server on this machine, for tests of the judge.

    with JudgeServer(lambda request: reply('{"score": 7}')) as server:
        create_grader("judge", {"url": server.url, "model": "judge", "rubric": "..."})

`requests` holds the bodies of all chat completions, in order; `headers` theirs; `overlap` the most requests at one time.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 100, "completion_tokens": 10}
PART = re.compile(
    r"=== (?P<mark>\w+): the (?P<name>[\w ]+) begins ===\n(?P<text>.*?)\n=== (?P=mark): the (?P=name) ends ===", re.S
)


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0  # before the first byte
    closes: bool = False  # close the connection without an answer


def reply(content: Any, seconds: float = 0.0, usage: Any = USAGE) -> Reply:
    """A chat completion with this content."""
    body = {"choices": [{"message": {"role": "assistant", "content": content}}], "usage": usage}
    return Reply(body=json.dumps(body).encode(), seconds=seconds)


def error(status: int, message: str = "no", **headers: str) -> Reply:
    """An error in the form of OpenAI; `Retry_After` is the header `Retry-After`."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps({"error": {"message": message}}).encode(), names)


def text(body: bytes) -> Reply:
    """An answer that is no chat completion, with status 200."""
    return Reply(body=body)


def closing() -> Reply:
    """A connection that closes without an answer."""
    return Reply(closes=True)


def parts(request: Mapping[str, Any]) -> dict[str, str]:
    """The texts between the marked lines of a request: `question`, `reference answer`, `answer to grade`."""
    return {match["name"]: match["text"] for match in PART.finditer(request["messages"][-1]["content"])}


class _Server(ThreadingHTTPServer):
    request_queue_size = 64  # a full queue would delay connections by a second
    daemon_threads = True
    block_on_close = False  # slow answers may outlive the test


class JudgeServer:
    """Answer chat completions by a function of the request's body; other tries of the same body call it again."""

    def __init__(
        self, answer: Callable[[dict[str, Any]], Reply], models: tuple[str, ...] | None = ("judge",), key: str = ""
    ):
        self.answer, self.models, self.key = answer, models, key
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.overlap = self._running = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "JudgeServer":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def get(self, path: str) -> Reply:
        """The answer to a GET: the list of models, whatever the path."""
        if self.models is None:
            return error(404)
        return Reply(body=json.dumps({"data": [{"id": name} for name in self.models]}).encode())

    def post(self, path: str, request: dict[str, Any]) -> Reply:
        """The answer to a POST."""
        return self.answer(request)

    def _handler(server) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                if server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
                    return self._send(error(401, f"Incorrect API key provided: {self.headers.get('Authorization')}"))
                self._send(server.get(self.path))

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    server._running += 1
                    server.overlap = max(server.overlap, server._running)
                    server.requests.append(request)
                    server.headers.append(dict(self.headers))
                try:
                    self._send(server.post(self.path, request))
                finally:
                    with server._lock:
                        server._running -= 1

            def _send(self, reply: Reply) -> None:
                time.sleep(reply.seconds)
                if reply.closes:
                    self.close_connection = True
                    return
                try:
                    self.send_response(reply.status)
                    for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(reply.body)
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
