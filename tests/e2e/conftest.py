"""The product from outside: addresses, tokens and a purpose come from the environment, nothing from its code.

BASE_URL          the service or the gateway that is asked
IDENTITY_URL      where approvals are made; BASE_URL where unset
TOKEN_URL         the token endpoint of the identity provider
ANALYST_SECRET    of the client `e2e-analyst`, who reads
OFFICER_SECRET    of the client `e2e-officer`, who approves
POLICY            a policy of tenant `e2e` whose journeys are known to be there
GATEWAY           set where BASE_URL is the gateway, which shows less than a service does
CA_FILE           whom to trust for TLS, where not the system's authorities
WAIT_S            how long to wait until BASE_URL answers (30)
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest

PURPOSE = "pricing"


@pytest.fixture(scope="session")
def trusted() -> ssl.SSLContext | bool:
    ca_file = os.environ.get("CA_FILE")
    return ssl.create_default_context(cafile=ca_file) if ca_file else True


@pytest.fixture(scope="session")
def base_url() -> str:
    url = os.environ.get("BASE_URL")
    if not url:
        pytest.skip("BASE_URL is unset: point it at a running service or gateway")
    where = urlsplit(url)
    if os.environ.get("GATEWAY"):
        try:
            socket.getaddrinfo(where.hostname, where.port)
        except socket.gaierror:
            pytest.skip("no gateway stands in this environment yet; its own tests come with it")
    return url


@pytest.fixture(scope="session")
def service(base_url: str, trusted: ssl.SSLContext | bool) -> Iterator[httpx.Client]:
    """What is tested, once it answers."""
    with httpx.Client(base_url=base_url, verify=trusted, timeout=10) as client:
        _answering(client)
        yield client


@pytest.fixture(scope="session")
def identity(service: httpx.Client, trusted: ssl.SSLContext | bool) -> Iterator[httpx.Client]:
    """Where approvals are made."""
    url = os.environ.get("IDENTITY_URL")
    if not url:
        yield service
        return
    with httpx.Client(base_url=url, verify=trusted, timeout=10) as client:
        yield client


@pytest.fixture(scope="session")
def token_of(trusted: ssl.SSLContext | bool) -> Callable[[str], dict[str, str]]:
    """The headers with which a client of the tests is let in."""
    tokens: dict[str, dict[str, str]] = {}

    def headers(client: str) -> dict[str, str]:
        if client not in tokens:
            secret = os.environ[f"{client.upper()}_SECRET"]
            form = {"grant_type": "client_credentials", "client_id": f"e2e-{client}", "client_secret": secret}
            answer = httpx.post(os.environ["TOKEN_URL"], data=form, verify=trusted, timeout=20)
            assert answer.status_code == 200, f"no token for e2e-{client}: {answer.status_code}"
            tokens[client] = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return tokens[client]

    return headers


@pytest.fixture(scope="session")
def analyst(identity: httpx.Client, token_of: Callable[[str], dict[str, str]]) -> dict[str, str]:
    """Headers of somebody whose purpose is approved: asked for, approved by another, acknowledged."""
    asks, approves = token_of("analyst"), token_of("officer")
    wanted = {"purpose": PURPOSE, "domain": "pricing", "reason": "end-to-end tests"}
    if not any(held["state"] == "active" and held["purpose"] == PURPOSE for held in _approvals(identity, asks)):
        made = identity.post("/v1/approvals", json=wanted, headers=asks)
        assert made.status_code == 201, made.text
        place = f"/v1/approvals/{made.json()['id']}"
        for step, who in (("approve", approves), ("acknowledge", asks)):
            done = identity.post(f"{place}:{step}", json={"why": "end-to-end tests"}, headers=who)
            assert done.status_code == 200, done.text
        _until(lambda: any(held["state"] == "active" for held in _approvals(identity, asks)))
    return {**asks, "Data-Purpose": PURPOSE}


@pytest.fixture(scope="session")
def policy() -> str:
    return os.environ.get("POLICY", "JM-000001-1")


def _approvals(identity: httpx.Client, headers: dict[str, str]) -> list[dict[str, str]]:
    answer = identity.get("/v1/approvals", headers=headers)
    assert answer.status_code == 200, answer.text
    held: list[dict[str, str]] = answer.json()["items"]
    return held


def _answering(client: httpx.Client) -> None:
    """Any answer will do; who does not answer in time fails the tests that ask."""

    def answers() -> bool:
        try:
            return client.get("/livez").status_code < 500
        except httpx.TransportError:
            return False

    _until(answers, float(os.environ.get("WAIT_S", "30")))


def _until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.25)
