"""The client against identityapi as it is served: what one sends the other reads, and the other way round."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.identity_served import Served, identity_served
from tests.support.served_app import served_app

from journeymesh.client import AsyncJourneymesh, Journeymesh
from journeymesh.client.errors import AccessDenied, Conflicting, NotThere, RequestRefused, TokenNotAccepted
from journeymesh.client.governed import Ask
from journeymesh.governance.derivations import covered


@pytest.fixture
def api(tmp_path: Path) -> Iterator[tuple[str, Served]]:
    with identity_served(tmp_path, asgi_client=False) as served, served_app(served.app) as url:
        yield url, served


def test_who_one_is_and_may_be(api: tuple[str, Served]) -> None:
    url, served = api
    with Journeymesh(url, token=lambda: served.static.mint("analyst")) as client:
        me = client.me()
        assert (me.provider, me.subject, me.tenant, me.domains) == ("static", "analyst", "north", ["claims", "pricing"])
        assert me.expires_at is not None
        assert "summaries:read" in client.capabilities()
        assert "tracks:read" not in client.capabilities()
        with pytest.raises(AccessDenied) as denied:
            client.providers()
        assert denied.value.reason == "capability_missing"
    with Journeymesh(url, token=lambda: served.static.mint("officer")) as officer:
        assert denied.value.decision_id is not None
        assert officer.explain(denied.value.decision_id)["reason"] == "capability_missing"
        assert [each.name for each in officer.providers()] == ["static"]
        with pytest.raises(NotThere):
            officer.explain("nonsense")
    with Journeymesh(url, token="forged") as nobody, pytest.raises(TokenNotAccepted):
        nobody.me()


def test_decisions_and_the_audit(api: tuple[str, Served]) -> None:
    url, served = api

    async def asynchronously() -> list[bool]:
        async with AsyncJourneymesh(url, token=lambda: served.static.mint("officer")) as client:
            asks = [
                Ask(product="journeys", capability="product:read", token=served.static.mint(who))
                for who in ("analyst", "bare")
            ]
            return [each.allowed for each in await client.decide_each(asks)]

    assert asyncio.run(asynchronously()) == [True, False]
    with Journeymesh(url, token=lambda: served.static.mint("officer")) as client:
        ask = Ask(
            product="journeys",
            capability="product:read",
            token=served.static.mint("analyst"),
            policy={"number": "P-1", "tenant": "south"},
        )
        assert client.decide(ask).reason == "policy_forbids"
        entries = list(client.audit(page_size=2))
        assert [entry.body["reason"] for entry in entries[:5]] == [
            "allowed", "allowed", "capability_missing", "allowed", "policy_forbids",
        ]  # fmt: skip
        assert client.checkpoint_audit()["heads"][0]["number"] >= len(entries)
        assert client.verify_audit()["holds"] is True


def test_an_approval_from_request_to_revocation(api: tuple[str, Served]) -> None:
    url, served = api
    with (
        Journeymesh(url, token=lambda: served.static.mint("analyst")) as analyst,
        Journeymesh(url, token=lambda: served.static.mint("officer")) as officer,
    ):
        assert "pricing" in {each.id for each in analyst.purposes()}
        made = analyst.request_approval("pricing", domain="pricing", reason="next year's tariff")
        assert (made.state, made.requested_by.subject, made.product_major) == ("requested", "analyst", 1)
        assert made.obligations is not None
        assert made.obligations["mask"] == sorted(covered(frozenset({"start_lat_deg"})))
        with pytest.raises(AccessDenied):
            analyst.approve(made.id, "mine")
        assert officer.approve(made.id, "proportionate").state == "approved"
        assert analyst.acknowledge(made.id).state == "active"
        with pytest.raises(Conflicting, match="is active"):
            officer.reject(made.id, "too late")
        assert [each.id for each in officer.approvals(state="active")] == [made.id]
        assert officer.revoke(made.id, "ended").state == "revoked"
        told = analyst.approval(made.id)
        assert [step.state for step in told.history] == ["requested", "approved", "acknowledged", "revoked"]
        with pytest.raises(RequestRefused, match="nosiness"):
            analyst.request_approval("nosiness", domain="pricing", reason="curious")
