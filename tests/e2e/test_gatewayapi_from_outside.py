"""What the gateway shows, and what it does not."""

from __future__ import annotations

import os

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
