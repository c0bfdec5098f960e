"""identityapi from outside: who one is, what one may do, what was approved."""

from __future__ import annotations

import os

import httpx
import pytest


def test_it_says_that_it_lives_and_is_ready(service: httpx.Client) -> None:
    if os.environ.get("GATEWAY"):
        pytest.skip("a gateway does not show a service's health")
    assert service.get("/livez").status_code == 200
    assert service.get("/readyz").status_code == 200


def test_it_says_who_asks(service: httpx.Client, analyst: dict[str, str]) -> None:
    answer = service.get("/v1/me", headers=analyst)
    assert answer.status_code == 200, answer.text
    me = answer.json()
    assert (me["provider"], me["tenant"], me["domains"]) == ("keycloak", "e2e", ["pricing"])


def test_it_says_what_one_may_do(service: httpx.Client, analyst: dict[str, str]) -> None:
    answer = service.get("/v1/me/capabilities", params={"product": "journeys"}, headers=analyst)
    assert answer.status_code == 200, answer.text
    held = str(answer.json())
    assert "summaries:read" in held
    assert "tracks:read" not in held


def test_it_tells_the_purposes_there_are(service: httpx.Client, analyst: dict[str, str]) -> None:
    answer = service.get("/v1/purposes", headers=analyst)
    assert answer.status_code == 200, answer.text
    assert "pricing" in answer.text


def test_who_asks_for_an_approval_cannot_give_it(service: httpx.Client, analyst: dict[str, str]) -> None:
    [held] = [a for a in service.get("/v1/approvals", headers=analyst).json()["items"] if a["state"] == "active"][:1]
    answer = service.post(f"/v1/approvals/{held['id']}:approve", json={"why": "me too"}, headers=analyst)
    assert answer.status_code == 403, answer.text


def test_strangers_learn_nothing(service: httpx.Client) -> None:
    for path in ("/v1/me", "/v1/purposes", "/v1/approvals", "/v1/audit", "/v1/providers"):
        assert service.get(path).status_code == 401, path


def test_a_gateway_is_told_who_may_pass(service: httpx.Client, analyst: dict[str, str]) -> None:
    if os.environ.get("GATEWAY"):
        pytest.skip("forward-auth is for gateways and is not to be reached through one")
    assert service.get("/v1/forward-auth").status_code == 401
    passed = service.get("/v1/forward-auth", headers=analyst)
    assert passed.status_code == 200
    assert passed.headers["journeymesh-tenant"] == "e2e"
