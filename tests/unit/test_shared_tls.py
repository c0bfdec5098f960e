"""Whoever opens TLS connections from several threads gives OpenSSL the list of protocols once, not before each."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from journeymesh.client import Journeymesh
from journeymesh.delivery.secret_values import self_signed
from journeymesh.identity.answers import Asking
from journeymesh.shared_tls import set_alpn_once

THREADS = 8
CONNECTIONS = 24


class ClosingServer(BaseHTTPRequestHandler):
    """Answers ``{}`` and closes, so that each question opens a connection."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, text in self_signed(("127.0.0.1",)).items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "tls.crt"))
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), ClosingServer)
    server.socket = server_side.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def lists_given_to_openssl(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    given: list[list[str]] = []
    original = ssl.SSLContext.set_alpn_protocols

    def counted(context: ssl.SSLContext, protocols: Iterable[str]) -> None:
        given.append(list(protocols))
        original(context, protocols)

    monkeypatch.setattr(ssl.SSLContext, "set_alpn_protocols", counted)
    return given


def test_an_identity_provider_is_asked_over_one_unchanged_context(
    address: str, tmp_path: Path, lists_given_to_openssl: list[list[str]]
) -> None:
    asking = Asking("keycloak", timeout_s=20, ca_file=tmp_path / "tls.crt")
    with ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(lambda _: asking.get(f"{address}/"), range(CONNECTIONS)))
    asking.close()
    assert [answer.status for answer in answers] == [200] * CONNECTIONS
    assert lists_given_to_openssl == [["http/1.1"]]


def test_a_client_that_threads_share_has_one_unchanged_context(
    address: str, lists_given_to_openssl: list[list[str]]
) -> None:
    with Journeymesh(address, token="t") as client, ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(lambda _: client._http.get(f"{address}/"), range(CONNECTIONS)))
    assert [answer.status_code for answer in answers] == [200] * CONNECTIONS
    before_any_connection = lists_given_to_openssl[:-1]  # httpx builds its context with a list of its own
    assert lists_given_to_openssl[-1] == ["http/1.1"]
    assert len(before_any_connection) <= 1


def test_another_list_is_passed_on(lists_given_to_openssl: list[list[str]]) -> None:
    context = set_alpn_once(ssl.create_default_context())
    for protocols in (["http/1.1"], ["http/1.1"], ["h2", "http/1.1"]):
        context.set_alpn_protocols(protocols)
    assert lists_given_to_openssl == [["http/1.1"], ["h2", "http/1.1"]]
