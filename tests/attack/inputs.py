"""Hostile clients: ``python -m tests.attack.inputs`` reads attacks from standard input, each a line of JSON
(``name``, ``port``, ``token`` and what ``Strength`` has). Of each it says ``begins``, sends that input by so many
clients at once, and prints what came of it as JSON: how often by status, and ``broken``, how often the service broke
off.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.body_attacks import HONEST, HOSTILE

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
ASK = {"product": "journeys", "capability": "product:read"}
HELD_EACH = 64
"""Connections that a client of those holds that say nothing: a thousand by sixteen."""

Made = Callable[[random.Random, str], bytes]


@dataclass(frozen=True)
class Strength:
    """How long, by how many clients, from which seed."""

    seconds: float
    clients: int
    seed: int


@dataclass(frozen=True)
class Requests:
    """Sends what ``made`` makes of a random source and a token, reads the answer, and again."""

    services: tuple[str, ...]
    made: Made


@dataclass(frozen=True)
class Held:
    """Opens connections, sends ``first`` over each and ``again`` twice a second; opens those anew that are closed."""

    services: tuple[str, ...]
    first: bytes
    again: bytes = b""


def _get(path: str, *headers: bytes) -> bytes:
    return b"".join([b"GET ", path.encode(), b" HTTP/1.1\r\nHost: a\r\n", *(b"%s\r\n" % h for h in headers), b"\r\n"])


def _post(path: str, token: str, body: bytes, media: str, *headers: bytes) -> bytes:
    head = [
        b"POST %s HTTP/1.1\r\nHost: a\r\n" % path.encode(),
        b"Authorization: Bearer %s\r\nContent-Type: %s\r\n" % (token.encode(), media.encode()),
        b"Content-Length: %d\r\n" % len(body),
        *(b"%s\r\n" % header for header in headers),
    ]
    return b"".join([*head, b"\r\n", body])


def _fixes(media: str, built: Callable[[], bytes]) -> Made:
    held: list[bytes] = []
    lock = threading.Lock()

    def made(rng: random.Random, token: str) -> bytes:
        with lock:
            if not held:
                held.append(built())
        key = b"Idempotency-Key: %032x" % rng.getrandbits(128)
        return _post("/v1/fixes", token, held[0], media, key, b"Data-Purpose: journey-collection")

    return made


def _json(path: str, body: Callable[[], bytes]) -> Made:
    held: list[bytes] = []

    def made(_: random.Random, token: str) -> bytes:
        if not held:
            held.append(body())
        return _post(path, token, held[0], "application/json")

    return made


def _large(rng: random.Random, name: bytes) -> bytes:
    return b"%s: %032x%s" % (name, rng.getrandbits(128), b"a" * 30_000)


def _http2_headers(_: random.Random, __: str) -> bytes:
    head = b"\x82\x86\x84\x41\x01a"  # GET http / of a, from HPACK's table
    value = b"\0\x01x\x7f" + bytes([0x81, 0x7C]) + b"x" * 16_000  # 127 + 1 + 124 * 128 = 16,000
    frames = [len(head).to_bytes(3, "big") + bytes([1, 1, 0, 0, 0, 1]) + head]
    frames += [len(value).to_bytes(3, "big") + bytes([9, 0, 0, 0, 0, 1]) + value] * 1_000
    return PREFACE + b"".join(frames)


BOTH = ("journeyapi", "identityapi")
JOURNEYS, IDENTITY = BOTH[:1], BOTH[1:]
INPUTS: dict[str, Requests | Held] = {
    "silent connections": Held(BOTH, b""),
    "HTTP/2 prefaces": Held(BOTH, PREFACE),
    "heads by and by": Held(BOTH, b"GET /livez HTTP/1.1\r\nHost: a\r\nX: ", b"x"),
    "large hosts": Requests(BOTH, lambda rng, _: b"GET /livez HTTP/1.1\r\n" + _large(rng, b"Host") + b"\r\n\r\n"),
    "large encodings": Requests(BOTH, lambda rng, _: _get("/livez", _large(rng, b"Accept-Encoding"))),
    "HTTP/2 headers": Requests(BOTH, _http2_headers),
    "made-up tokens": Requests(
        BOTH,
        lambda rng, _: _get("/v1/policies/x/summary", b"Authorization: Bearer %032x" % rng.getrandbits(128)),
    ),
    "no token, unknown numbers": Requests(
        JOURNEYS, lambda rng, _: _get(f"/v1/policies/{rng.getrandbits(64):x}/summary")
    ),
    "no token": Requests(IDENTITY, lambda rng, _: _get(f"/v1/decisions/{rng.getrandbits(64):x}/explain")),
    "a token, unknown numbers": Requests(
        JOURNEYS,
        lambda rng, token: _get(
            f"/v1/policies/{rng.getrandbits(64):x}/summary?from=2024-01-01T00:00:{rng.random() * 60:09.6f}Z",
            b"Authorization: Bearer " + token.encode(),
            b"Data-Purpose: journey-collection",
        ),
    ),
    "batches of a hundred decisions": Requests(
        IDENTITY, _json("/v1/decisions:batch", lambda: json.dumps({"asks": [ASK] * 100}).encode())
    ),
    "batches of a million decisions": Requests(
        IDENTITY, _json("/v1/decisions:batch", lambda: json.dumps({"asks": [ASK] * 600_000}).encode())
    ),
    "deep JSON": Requests(
        IDENTITY, _json("/v1/decisions", lambda: b'{"a":' * 6_000 + b"[" * 30_000 + b"]" * 30_000 + b"}" * 6_000)
    ),
    **{f"fixes, {name}": Requests(JOURNEYS, _fixes(media, built)) for name, (media, _, built) in HOSTILE.items()},
    **{f"fixes, {name}": Requests(JOURNEYS, _fixes(media, built)) for name, (media, _, built) in HONEST.items()},
}
"""Every hostile input by name. Batches as large as batches may be are among them, of vehicles that nobody knows."""


class Client(threading.Thread):
    """One hostile client, from an address of its own."""

    def __init__(self, number: int, sent: Requests | Held, port: int, token: str, strength: Strength) -> None:
        super().__init__()
        self.number, self.sent, self.port, self.token = number, sent, port, token
        self.rng = random.Random(strength.seed * 1_000 + number)
        self.outcomes: Counter[str] = Counter()
        self.until_s = time.monotonic() + strength.seconds

    def run(self) -> None:
        """Attack until it is time."""
        if isinstance(self.sent, Held):
            self._hold(self.sent)
            return
        connection: socket.socket | None = None
        while time.monotonic() < self.until_s:
            request = self.sent.made(self.rng, self.token)
            try:
                connection = connection or self._connected()
                with contextlib.suppress(ConnectionError):  # it may be answered before all of it is sent
                    connection.sendall(request)
                status, goes_on = _answer(connection)
                self.outcomes[status] += 1
            except OSError:
                self.outcomes["broken"] += 1
                goes_on = False
                time.sleep(0.01)
            if not goes_on and connection is not None:
                connection.close()
                connection = None

    def _hold(self, sent: Held) -> None:
        held: list[socket.socket] = []
        while time.monotonic() < self.until_s:
            with contextlib.suppress(OSError):
                while len(held) < HELD_EACH and time.monotonic() < self.until_s:
                    connection = self._connected()
                    connection.sendall(sent.first)
                    connection.setblocking(False)
                    held.append(connection)
                    self.outcomes["opened"] += 1
            time.sleep(0.5)
            held = [connection for connection in held if self._stays(connection, sent.again)]

    def _stays(self, connection: socket.socket, again: bytes) -> bool:
        try:
            if again:
                connection.send(again)
            if connection.recv(1 << 16):
                return True
        except BlockingIOError:
            return True
        except OSError:
            pass
        connection.close()
        self.outcomes["broken"] += 1
        return False

    def _connected(self) -> socket.socket:
        made = socket.socket()
        made.settimeout(10)
        try:
            if sys.platform == "linux":
                made.bind((f"127.0.3.{1 + self.number}", 0))
            made.connect(("127.0.0.1", self.port))
        except OSError:
            made.close()
            raise
        return made


def _answer(connection: socket.socket) -> tuple[str, bool]:
    """(status, whether the connection goes on) of the answer that comes."""
    came = b""
    while b"\r\n\r\n" not in came:
        piece = connection.recv(1 << 16)
        if not piece:
            raise ConnectionError("it broke off")
        came += piece
        if came[3:4] != b"P" and not came.startswith(b"HTTP/"):
            return "http/2", True  # its frames
    head, _, body = came.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
    left = length - len(body)
    while left > 0:
        piece = connection.recv(1 << 16)
        if not piece:
            raise ConnectionError("it broke off")
        left -= len(piece)
    return lines[0].split()[1].decode(), b"connection: close" not in lines


def attack(name: str, port: int, token: str, strength: Strength) -> dict[str, int]:
    """Attack, once what is sent has been built. Returns how often by outcome."""
    sent = INPUTS[name]
    if isinstance(sent, Requests):
        sent.made(random.Random(0), token)
    print("begins", flush=True)
    threads = [Client(number, sent, port, token, strength) for number in range(strength.clients)]
    for each in threads:
        each.start()
    outcomes: Counter[str] = Counter()
    for each in threads:
        each.join()
        outcomes += each.outcomes
    return dict(sorted(outcomes.items()))


def main() -> None:
    """Attack, line by line, until nothing more is wanted."""
    for line in sys.stdin:
        wanted = json.loads(line)
        outcomes = attack(wanted.pop("name"), wanted.pop("port"), wanted.pop("token"), Strength(**wanted))
        print(json.dumps(outcomes), flush=True)


if __name__ == "__main__":
    main()
