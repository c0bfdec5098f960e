"""Keycloak's answers, good and bad, from a server that a test scripts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import pytest
from joserfc.jwk import ECKey

from journeymesh.identity.identity import ProviderUnavailable, TokenRefused
from journeymesh.identity.oidc import OidcProvider, OidcSettings
from journeymesh.identity.providers import Providers
from tests.support.scripted_server import Exchange, ScriptedServer, scripted_server
from tests.support.tokens_made import EC, ISSUER, NOW_S, jwks, signed

PERMITTED = [{"rsname": "journeys", "rsid": "1", "scopes": ["journeys:read", "product:read"]}]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server(lambda exchange: exchange.answer(jwks(EC))) as running:
        yield running


def provider(server: ScriptedServer, **settings: Any) -> OidcProvider:
    given = {"issuer": ISSUER, "internal_url": f"{server.url}/realms/insurer", "timeout_s": 0.5, **settings}
    return OidcProvider("keycloak", OidcSettings(**given), now_s=lambda: NOW_S)


def asked(server: ScriptedServer, body: Any, status: int = 200) -> frozenset[str]:
    """The capabilities that this answer means."""
    opened = provider(server)
    token = signed()
    identity = opened.identify(token)
    server.script = lambda exchange: exchange.answer(body, status)
    try:
        return opened.capabilities(token, identity, "journeys")
    finally:
        opened.close()


def test_permissions_are_asked_for_one_product_with_the_bearers_own_token(server: ScriptedServer) -> None:
    seen: list[tuple[str, str, dict[str, list[str]]]] = []

    def answer(exchange: Exchange) -> None:
        form = parse_qs(exchange.asked().decode())
        seen.append((exchange.path, exchange.headers["Authorization"], form))
        exchange.answer(PERMITTED)

    opened, token = provider(server), signed()
    identity = opened.identify(token)
    server.script = answer
    assert opened.capabilities(token, identity, "journeys") == {"journeys:read", "product:read"}
    [(path, authorization, form)] = seen
    assert path == "/realms/insurer/protocol/openid-connect/token"
    assert authorization == f"Bearer {token}"
    assert (form["permission"], form["audience"]) == (["journeys"], ["journeymesh"])
    opened.close()


def test_only_capabilities_that_there_are_count_and_only_the_products_own(server: ScriptedServer) -> None:
    permissions = [
        *PERMITTED,
        {"rsname": "journeys", "scopes": ["everything", "approvals:decide", 7]},
        {"rsname": "platform", "scopes": ["tracks:read"]},
        {"rsname": "journeys"},
    ]
    assert asked(server, permissions) == {"journeys:read", "product:read"}


@pytest.mark.parametrize(("status", "error"), [(403, "access_denied"), (400, "invalid_resource")])
def test_no_permission_is_an_answer(server: ScriptedServer, status: int, error: str) -> None:
    assert asked(server, {"error": error}, status) == frozenset()


@pytest.mark.parametrize(("status", "error"), [(401, "invalid_token"), (400, "invalid_grant"), (401, None)])
def test_a_token_that_is_not_accepted_any_more_is_refused(server: ScriptedServer, status: int, error: str) -> None:
    with pytest.raises(TokenRefused, match="no_longer_active"):
        asked(server, {"error": error}, status)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html>", 200),
        ({}, 200),
        (["journeys:read"], 200),
        ([{"rsname": "journeys", "scopes": "journeys:read"}], 200),
        (PERMITTED, 201),
        (PERMITTED, 302),
        (PERMITTED, 500),
        ({"error": "access_denied"}, 500),
        ({"error": "something_else"}, 403),
        ({"error": "unsupported_grant_type"}, 400),
        (b"", 400),
        (b"too many requests", 429),
    ],
)
def test_any_other_answer_is_none(server: ScriptedServer, body: Any, status: int) -> None:
    with pytest.raises(ProviderUnavailable, match="keycloak"):
        asked(server, body, status)


def test_a_slow_answer_is_none(server: ScriptedServer) -> None:
    opened, token = provider(server, timeout_s=0.2), signed()
    identity = opened.identify(token)
    server.script = lambda exchange: time.sleep(1)
    began = time.monotonic()
    with pytest.raises(ProviderUnavailable, match="in time"):
        opened.capabilities(token, identity, "journeys")
    assert time.monotonic() - began < 0.9
    opened.close()


@pytest.mark.parametrize("kind", ["ID", "Refresh", "Offline", "Logout", None, 7])
def test_other_tokens_of_keycloak_are_no_access_tokens(server: ScriptedServer, kind: object) -> None:
    opened = provider(server)
    if kind is None:
        assert opened.identify(signed(typ="Bearer")).subject == "anna"
    else:
        with pytest.raises(TokenRefused, match="not_an_access_token"):
            opened.identify(signed(typ=kind))
    opened.close()


@pytest.mark.parametrize("tenant", [None, "", [], ["north", "south"], 7, {"name": "north"}])
def test_without_one_tenant_nobody_gets_in(server: ScriptedServer, tenant: object) -> None:
    opened = provider(server)
    with pytest.raises(TokenRefused, match="tenant_unclear"):
        opened.identify(signed(tenant=tenant))
    opened.close()


def test_its_state_says_whether_keys_can_be_had(server: ScriptedServer) -> None:
    opened = provider(server)
    state = opened.state()
    assert (state.ready, state.kind, state.issuer) == (True, "oidc", ISSUER)
    assert state.keys_age_s is not None
    server.script = lambda exchange: exchange.answer(b"", 503)
    assert opened.state().ready  # its keys still count
    down = provider(server)
    assert not down.state().ready
    assert "keys" in down.state().what
    opened.close()
    opened.close()


def test_a_hundred_strangers_with_a_hundred_invented_keys_cause_a_handful_of_fetches(server: ScriptedServer) -> None:
    opened = provider(server, timeout_s=5.0)
    providers = Providers([opened], now_s=lambda: NOW_S)
    ours = signed()
    providers.identify(ours)
    before, start = server.requests, threading.Barrier(100)
    forged = [signed(ECKey.generate_key("P-256", {"kid": f"invented-{n}"})) for n in range(100)]

    def ask(token: str) -> str:
        start.wait()
        try:
            providers.identify(token)
        except (TokenRefused, ProviderUnavailable) as error:
            return type(error).__name__
        return "let in"

    with ThreadPoolExecutor(100) as threads:
        assert set(threads.map(ask, forged)) <= {"TokenRefused", "ProviderUnavailable"}
    assert 1 <= server.requests - before <= 8
    assert providers.identify(ours).subject == "anna"
    providers.close()
