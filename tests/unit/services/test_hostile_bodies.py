"""Bodies, queries and tokens that were made to be a fault of the service: each is a clear refusal, never a 500."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.identity_served import Served, identity_served
from tests.unit.services.test_identityapi_approvals import WISH

DEEP = {
    "lists": b"[" * 100_000 + b"]" * 100_000,
    "objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a field of lists": b'{"product": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "unclosed": b"[" * 100_000,
}
POSTS = (
    "/v1/decisions",
    "/v1/decisions:batch",
    "/v1/approvals",
    "/v1/approvals/01ARZ3NDEKTSV4RRFFQ69G5FAV:approve",
)
FAR_INSTANTS = (
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "1899-12-31T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59.999999-12:00",
    "9900-01-01T00:00:00Z",
)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with identity_served(tmp_path) as found:
        yield found


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in DEEP.items()])
def test_deeply_nested_json_is_refused(served: Served, path: str, body: bytes) -> None:
    said = served.client.post(
        path, headers=served.bearing("officer", **{"content-type": "application/json"}), content=body
    )
    assert said.status_code in (400, 413, 422), said.text


@pytest.mark.parametrize("at", FAR_INSTANTS)
@pytest.mark.parametrize("field", ["valid_from", "valid_to"])
def test_an_approval_at_the_ends_of_the_calendar_is_refused(served: Served, field: str, at: str) -> None:
    said = served.post("analyst", "/v1/approvals", {**WISH, field: at})
    assert said.status_code == 422, said.text
    assert field in said.json()["detail"]


@pytest.mark.parametrize("at", FAR_INSTANTS)
@pytest.mark.parametrize("name", ["since", "until"])
def test_a_query_at_the_ends_of_the_calendar_is_refused(served: Served, name: str, at: str) -> None:
    said = served.client.get("/v1/audit", headers=served.bearing("officer"), params={name: at})
    assert said.status_code == 400, said.text


def ending_at(expires: float, served: Served) -> str:
    """A token that the provider's own key signed, and that ends then."""
    header, payload, _ = served.static.mint("officer").split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    text = f"{header}.{_part(json.dumps({**claims, 'exp': expires}).encode())}"
    key = serialization.load_pem_private_key((served.folder / "key.pem").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return f"{text}.{_part(key.sign(text.encode()))}"


def _part(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize("expires", [9e11, 253_402_300_800, 2**63, 1e308])
def test_a_token_that_ends_beyond_the_calendar_is_refused(served: Served, expires: float) -> None:
    token = ending_at(expires, served)
    for path in ("/v1/me",):
        said: Any = served.client.get(path, headers={"authorization": f"Bearer {token}"})
        assert said.status_code == 401, said.text
