"""At first nobody is answered personal data: not before somebody has requested a purpose and somebody else approved."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.rooms_databases import database_url
from tests.support.two_tenants import ALONE, NOON, PURPOSE, TENANTS, Answer, TwoTenants, approve, two_tenants

from journeymesh import wiring
from journeymesh.governance.purposes import load_purposes
from journeymesh.identity.capabilities import JOURNEYS, capability
from journeymesh.journeys.journey import journey_id
from journeymesh.services.journeyapi.app import ROUTES

__all__ = ["database_url"]


@pytest.fixture
def fresh(database_url: str, tmp_path: Path) -> Iterator[TwoTenants]:
    """A service with everybody's journeys, everybody capable of everything, and no approval."""
    store = wiring.open_store(database_url)
    with two_tenants(store, database_url, tmp_path, approved=False) as running:
        yield running
    store.close()


def _paths(tenant: str) -> list[tuple[str, str]]:
    """Every route that gives out or takes in personal data, about a policy and a journey of the tenant's own."""
    number = ALONE.format(tenant)
    journey = journey_id(f"car-{tenant}-{number}", round(NOON.timestamp() * 1e6))
    named = {"{policy}": number, "{journey}": journey, "{journey_id}": journey}
    paths = []
    for route in ROUTES:
        if route.capability is None or not capability(JOURNEYS, route.capability).personal:
            continue
        path = route.path
        for part, value in named.items():
            path = path.replace(part, value)
        assert "{" not in path, path
        paths.append((route.method, path))
    return paths


def test_whoever_signs_in_is_answered_nothing_until_it_was_requested_and_approved(fresh: TwoTenants) -> None:
    purposes = sorted(load_purposes().by_id)
    personal = _paths(TENANTS[0])
    assert len(personal) >= 8

    async def ask() -> tuple[list[Answer], Answer, Answer, Answer]:
        async with fresh.running():
            refused = [
                await fresh.send(method, fresh.token(tenant), path, purpose)
                for tenant in TENANTS
                for method, path in _paths(tenant)
                for purpose in (*purposes, "", "unheard of")
            ]
            tenant, other = TENANTS[:2]
            approve(fresh.approvals, tenant, PURPOSE)
            fresh.approval_book.refresh()
            own, foreign = (
                f"/v1/policies/{ALONE.format(tenant)}/journeys",
                f"/v1/policies/{ALONE.format(other)}/journeys",
            )
            return (
                refused,
                await fresh.get(fresh.token(tenant), own, PURPOSE),
                await fresh.get(fresh.token(tenant), own, "pricing"),
                await fresh.get(fresh.token(other), foreign, PURPOSE),
            )

    refused, approved, other_purpose, other_tenant = asyncio.run(ask())
    assert {answer.status for answer in refused} == {403}
    for answer in refused:
        assert b"car-" not in answer.body
        assert b"distance_m" not in answer.body
    assert approved.status == 200
    assert b"distance_m" in approved.body
    assert other_purpose.status == 403
    assert other_tenant.status == 403
