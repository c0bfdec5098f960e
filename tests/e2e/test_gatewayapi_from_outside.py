"""What the gateway shows, and what it does not."""

from __future__ import annotations

import os
import socket
import ssl

import httpx
import pytest


@pytest.fixture(autouse=True)
def _only_at_a_gateway() -> None:
    if not os.environ.get("GATEWAY"):
        pytest.skip("GATEWAY is unset: BASE_URL is a service itself")


def test_what_is_for_the_inside_is_not_reached_from_outside(service: httpx.Client, analyst: dict[str, str]) -> None:
    for path in ("/", "/livez", "/readyz", "/metrics", "/v1/forward-auth", "/admin/master/console/", "/realms/master"):
        assert service.get(path, headers=analyst).status_code == 404, path


def test_strangers_are_kept_out_before_a_service_is_asked(service: httpx.Client) -> None:
    answer = service.get("/v1/policies/JM-000001-1/summary")
    assert answer.status_code == 401


def test_who_a_token_names_cannot_be_overruled_by_a_header(service: httpx.Client, analyst: dict[str, str]) -> None:
    told = service.get("/v1/me", headers={**analyst, "Journeymesh-Tenant": "northgate", "Journeymesh-Subject": "me"})
    assert told.status_code == 200, told.text
    assert told.json()["tenant"] == "e2e"


def test_plain_text_is_not_spoken(service: httpx.Client) -> None:
    port = service.base_url.port or 443
    with pytest.raises(httpx.HTTPError), httpx.Client(timeout=5) as plain:
        plain.get(f"http://{service.base_url.host}:{port}/v1/me").raise_for_status()


BARE_LF = {
    "head": b"GET /v1/me HTTP/1.1\nHost: %s\nConnection: close\n\n",
    "one line": b"GET /v1/me HTTP/1.1\r\nHost: %s\nConnection: close\r\n\r\n",
    "chunks": b"POST /v1/decisions HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    b"0\n\nGET /livez HTTP/1.1\r\nHost: %s\r\n\r\n",
}


@pytest.mark.parametrize("where", BARE_LF)
def test_a_bare_line_feed_makes_no_second_request(
    service: httpx.Client, trusted: ssl.SSLContext | bool, where: str
) -> None:
    """The gateway reads a request once and writes it anew, so that what is behind it cannot read it in another way."""
    host, port = service.base_url.host, service.base_url.port or 443
    context = trusted if isinstance(trusted, ssl.SSLContext) else ssl.create_default_context()
    request = BARE_LF[where].replace(b"%s", host.encode())
    came = b""
    with socket.create_connection((host, port), 10) as plain, context.wrap_socket(plain, server_hostname=host) as made:
        made.sendall(request)
        while piece := made.recv(1 << 16):
            came += piece
    assert came.count(b"HTTP/1.1 ") == 1, came[:500]
    assert came.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 401 ")), came[:200]
