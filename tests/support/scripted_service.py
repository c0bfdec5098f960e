"""A real HTTP server whose answers a test writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import msgspec

JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What is answered. ``breaks_after``: the connection is cut behind so many bytes of the body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    breaks_after: int | None = None


def json(content: object, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"content-type": "application/json", **named}, msgspec.json.encode(content))


def problem(status: int, detail: str, **more: object) -> Answer:
    body = {"type": f"urn:test:{status}", "title": "no", "status": status, "detail": detail, **more}
    return Answer(status, {"content-type": "application/problem+json"}, msgspec.json.encode(body))


@dataclass
class Service:
    """The server's address and what it was asked, in order."""

    url: str
    asked: list[Asked]


@contextmanager
def service(answer: Callable[[Asked], Answer] | list[Answer]) -> Iterator[Service]:
    """A server that answers by this function, or these answers one after the other (the last one again and again)."""
    asked: list[Asked] = []
    guard = threading.Lock()

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            came = Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, self.rfile.read(length))
            with guard:
                asked.append(came)
                said = answer(came) if callable(answer) else answer[min(len(asked), len(answer)) - 1]
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            if said.status != 304:
                self.send_header("content-length", str(len(said.body)))
            self.end_headers()
            self.wfile.write(said.body[: said.breaks_after])
            if said.breaks_after is not None:
                self.close_connection = True

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Service(f"http://127.0.0.1:{server.server_address[1]}", asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
