"""Connections that nobody uses and requests that nobody honest sends, against a service as it is served."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator

import pytest
from tests.support.body_attacks import peak_mib
from tests.support.served_things import served_things

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
PING = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0]) + b"12345678"
LIVE = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
BEARER = b"Host: a\r\nAuthorization: Bearer analyst\r\nContent-Type: application/json\r\n"
FIRST_S, IDLE_S = 1.0, 2.5
SLACK_S = 1.5

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="addresses 127.0.0.x and /proc are Linux'")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served_things(first_request_s=FIRST_S, idle_s=IDLE_S) as (found, _):
        yield found


def connected(port: int, sent: bytes = b"", address: str = "127.0.0.1") -> socket.socket:
    made = socket.socket()
    made.settimeout(20)
    made.bind((address, 0))
    made.connect(("127.0.0.1", port))
    if sent:
        made.sendall(sent)
    return made


def read_to_end(connection: socket.socket, again: bytes = b"") -> tuple[bytes, float]:
    """(what came until the server closed, after how many seconds); ``again`` is sent every 0.1 s."""
    began, came = time.monotonic(), b""
    connection.settimeout(0.1)
    while time.monotonic() - began < 15:
        try:
            if again:
                connection.sendall(again)
            piece = connection.recv(1 << 16)
            if not piece:
                break
            came += piece
        except TimeoutError:
            continue
        except OSError:
            break
    return came, time.monotonic() - began


@pytest.mark.parametrize(
    ("sent", "again"),
    [
        (b"", b""),
        (b"GET /livez HT", b""),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\n", b""),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\n", b"x"),
        (PREFACE, b""),
        (PREFACE, PING),
    ],
    ids=["nothing", "half a line", "half a head", "a head by and by", "an HTTP/2 preface", "HTTP/2 pings"],
)
def test_a_connection_whose_first_request_does_not_come_is_closed(port: int, sent: bytes, again: bytes) -> None:
    _, after_s = read_to_end(connected(port, sent), again)
    assert after_s < FIRST_S + SLACK_S


def test_one_that_was_used_may_be_idle_for_longer_and_not_for_ever(port: int) -> None:
    for pause_s in (0.0, 0.7):
        connection = connected(port)
        time.sleep(pause_s)
        connection.sendall(LIVE)
        came, after_s = read_to_end(connection)
        assert came.startswith(b"HTTP/1.1 200")
        assert IDLE_S - 0.1 <= after_s < IDLE_S + SLACK_S


def test_a_request_that_takes_longer_than_connections_may_be_silent_is_answered(port: int) -> None:
    connection = connected(port, b"GET /v1/slow HTTP/1.1\r\n" + BEARER + b"\r\n")
    came, after_s = read_to_end(connection)
    assert came.startswith(b"HTTP/1.1 200")
    assert after_s > 3.0 + IDLE_S - 0.2


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.0)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_a_peer_has_so_many_connections_and_a_trusted_proxy_as_many_as_it_needs() -> None:
    with served_things(connections_per_peer=20, trusted_proxies=["127.0.0.2"]) as (port, _):
        used = connected(port, LIVE)
        time.sleep(0.2)
        ones = {last: [connected(port, address=f"127.0.0.{last}") for _ in range(60)] for last in (1, 2, 3)}
        time.sleep(2.0)
        assert {last: sum(map(is_open, each)) for last, each in ones.items()} == {1: 19, 2: 60, 3: 20}
        # What is closed first is what never had a request.
        assert used.recv(4).startswith(b"HTTP")
        used.sendall(LIVE)
        used.settimeout(5)
        assert used.recv(1 << 16)


@pytest.mark.parametrize("descriptors", [1024, 4096])
def test_livez_answers_while_a_thousand_silent_connections_are_opened_again_and_again(descriptors: int) -> None:
    with served_things(descriptors=descriptors) as (port, process):
        silent: list[socket.socket] = []
        for number in range(1_500):
            silent.append(connected(port, address=f"127.0.1.{1 + number % 60}"))
            if number in (999, 1_249, 1_499):
                began = time.monotonic()
                asking = connected(port, LIVE, address="127.0.2.1")
                assert asking.recv(15) == b"HTTP/1.1 200 OK"
                assert time.monotonic() - began < 5.0
        time.sleep(1.0)
        began = time.monotonic()
        assert connected(port, LIVE, address="127.0.2.1").recv(15) == b"HTTP/1.1 200 OK"
        assert time.monotonic() - began < 1.0
        assert len(os.listdir(f"/proc/{process.pid}/fd")) < descriptors - 100


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 431),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 400_000 + b"\r\n\r\n", 431),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X: x\r\n" * 150 + b"\r\n", 431),
        (b"GET /livez HTTP/1.1\r\nHost: " + b"h" * 300 + b"\r\n\r\n", 400),
        (b"GET /livez?" + b"q" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"q" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 30_000 + b"\r\n\r\n", 200),
    ],
)
def test_headers_and_targets_have_a_size(port: int, head: bytes, status: int) -> None:
    connection = connected(port)
    with contextlib.suppress(OSError):  # the server need not read all of it
        connection.sendall(head)
    assert connection.recv(12) == b"HTTP/1.1 %d" % status


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /v1/things HTTP/1.1\r\n" + BEARER + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
        b"POST /v1/things HTTP/1.1\r\n" + BEARER + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\n0\r\n\r\n",
        b"POST /v1/things HTTP/1.1\r\n" + BEARER + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\n\r\n",
        b"POST /v1/things HTTP/1.1\r\n" + BEARER + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
        b"POST /v1/things HTTP/1.1\r\n" + BEARER + b"Content-Length: +2\r\n\r\n{}",
        b"POST /v1/things HTTP/1.1\r\n" + BEARER + b"Transfer-Encoding: gzip\r\n\r\n{}",
        b"GET /livez HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    ],
)
def test_a_body_whose_end_two_readers_could_see_in_two_places_is_refused(port: int, request_: bytes) -> None:
    came, after_s = read_to_end(connected(port, request_))
    assert came.startswith(b"HTTP/1.1 400")
    assert came.count(b"HTTP/1.1 ") == 1
    assert after_s < IDLE_S + SLACK_S


def test_a_body_of_two_lengths_is_read_by_its_chunks_and_the_connection_ends(port: int) -> None:
    both = b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + LIVE
    came, after_s = read_to_end(connected(port, b"POST /v1/things HTTP/1.1\r\n" + BEARER + both))
    assert came.count(b"HTTP/1.1 ") == 1
    assert after_s < 1.0


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header that no table keeps (RFC 7541, 6.2.2)."""

    def text(held: bytes) -> bytes:
        if len(held) < 127:
            return bytes([len(held)]) + held
        left, length = len(held) - 127, bytearray([127])
        while left >= 128:
            length.append(left % 128 + 128)
            left //= 128
        return bytes([*length, left]) + held

    return b"\0" + text(name) + text(value)


def test_http2_takes_no_more_of_headers_than_http1() -> None:
    with served_things(fresh=True) as (port, process):
        assert connected(port, LIVE).recv(15) == b"HTTP/1.1 200 OK"
        before = peak_mib(process.pid)
        head = literal(b":method", b"GET") + literal(b":path", b"/livez") + literal(b":scheme", b"http")
        head += literal(b":authority", b"a")
        for _ in range(20):
            connection = connected(port, PREFACE)
            with contextlib.suppress(OSError):
                connection.sendall(frame(1, 0x1, 1, head))
                for number in range(1_000):  # 16 MiB, in frames that go on
                    connection.sendall(frame(9, 0, 1, literal(b"x%d" % number, b"x" * 16_000)))
            connection.close()
        assert peak_mib(process.pid) - before < 50
        assert connected(port, LIVE).recv(15) == b"HTTP/1.1 200 OK"


def test_what_strangers_send_is_not_kept() -> None:
    with served_things(fresh=True) as (port, process):
        assert connected(port, LIVE).recv(15) == b"HTTP/1.1 200 OK"
        before = peak_mib(process.pid)
        connection = connected(port)
        for number in range(5_000):
            name = (b"Host", b"Accept-Encoding", b"Accept", b"If-None-Match", b"Data-Purpose")[number % 5]
            host = b"" if name == b"Host" else b"Host: a\r\n"
            value = b"%d" % number + b"a" * 30_000
            connection.sendall(b"GET /livez?n=%d HTTP/1.1\r\n" % number + host + name + b": " + value + b"\r\n\r\n")
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 ")
        assert peak_mib(process.pid) - before < 20
