"""Requests and answers of the local Hub on the wire, which may break at any byte."""

import base64
import contextlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

BLOCK = 64 * 1024


@dataclass
class Request:
    method: str
    path: str  # as sent, with the query
    headers: Mapping[str, str]  # names in any case
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False  # False for a body that was cut, by us or by the client

    def everything(self) -> bytes:
        headers = [f"{k}: {v}" for k, v in self.headers.items() if k.lower() != "authorization"]
        encoded = re.findall(rb"[A-Za-z0-9+/]{4,}", self.body)
        decoded = [base64.b64decode(piece + b"=" * (-len(piece) % 4)) for piece in encoded if len(piece) % 4 != 1]
        return b"\n".join(["\n".join([self.path, *headers]).encode(), bytes(self.body), *decoded])

    @property
    def authorization(self) -> str | None:
        return self.headers.get("Authorization")

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query)


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, value: Any, status: int = 200, headers: Mapping[str, str] = {}) -> "Reply":
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


@dataclass
class Fault:
    kind: str
    path: str  # a regular expression, searched for in the path with its query
    times: float
    method: str | None = None
    reply: Reply = field(default_factory=Reply)
    amount: float = 0  # bytes or seconds


class Disconnected(Exception):
    """The connection ended, by a fault or by the client: nothing is answered and nothing is kept."""


def handler_of(hub: Any) -> type[BaseHTTPRequestHandler]:
    """What serves the connections of a HubServer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept, as on the real Hub
        disable_nagle_algorithm = True

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # a client that was killed between two requests
                super().handle()

        def serve(self) -> None:
            request = Request(self.command, self.path, self.headers)
            hub.received.append(request)
            try:
                if hub.on_request:
                    hub.on_request(request.method, request.path)
                self._read_body(request)
                reply = hub.answer(request)
                self._send(reply, hub.take_fault("cut_download", request))
            except (Disconnected, ConnectionError):
                self.close_connection = True
            except Exception as error:
                self.close_connection = True
                hub.crashes.append(error)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve

        def _read_body(self, request: Request) -> None:
            cut = hub.take_fault("cut", request)
            limit = cut.amount if cut else math.inf
            for size in self._sizes():
                self._read_into(request.body, size, limit)
            if cut:
                raise Disconnected
            request.complete = True

        def _read_into(self, body: bytearray, size: int, limit: float) -> None:
            while size:
                if len(body) >= limit:
                    raise Disconnected
                block = self.rfile.read1(int(min(size, BLOCK, limit - len(body))))
                if not block:
                    raise Disconnected
                body += block
                size -= len(block)

        def _sizes(self):
            """The sizes of the body's pieces: one, or as many as a chunked body has."""
            if self.headers.get("Transfer-Encoding") != "chunked":
                yield int(self.headers.get("Content-Length", 0))
                return
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                yield size
                self.rfile.readline()
            self.rfile.readline()

        def _send(self, reply: Reply, cut: Fault | None) -> None:
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body[: int(cut.amount)] if cut else reply.body)
            if cut:
                raise Disconnected

        def log_message(self, *_: Any) -> None:
            pass  # hub.received has it all

    return Handler
