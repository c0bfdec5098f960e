"""An entity tag tells of what its caller sees, and of nothing else: not of other policies of the same vehicle."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from tests.support import records
from tests.support.rooms_databases import database_url
from tests.support.two_tenants import BEGIN, NOON, SHARED, Answer, TwoTenants, journeys_of, two_tenants

from journeymesh import wiring
from journeymesh.journeys.policies import Policy
from journeymesh.stores.port import StoreBatch

__all__ = ["database_url"]

CAR = "car-of-all"
NORTHS = Policy(number=SHARED, valid_from=BEGIN, valid_to=NOON + timedelta(days=9), vehicle=CAR, tenant="north")
SOUTHS = replace(NORTHS, tenant="south", valid_from=NOON + timedelta(days=9), valid_to=None)
NEXT = replace(NORTHS, number="P-next", valid_from=NOON + timedelta(days=9), valid_to=None)
(FIRST, *_) = OWN = journeys_of(NORTHS)
PATHS = (
    f"/v1/policies/{SHARED}/journeys",
    f"/v1/policies/{SHARED}/journeys?limit=1",
    f"/v1/policies/{SHARED}/summary",
    f"/v1/journeys/{FIRST['journey_id']}",
    f"/v1/journeys/{FIRST['journey_id']}/track",
)
MEDIA = ("application/json", "application/x-ndjson", "text/csv")


def _driven_for(policy: Policy) -> pa.Table:
    """A later journey of the same vehicle."""
    start, of = NOON + timedelta(days=10), {"policy": policy.number, "tenant": policy.tenant}
    return records.journeys(records.journey(CAR, start, policy_from=policy.valid_from, zone="UTC", **of))


CHANGES = {
    "another tenant's journeys of the same vehicle": (
        StoreBatch(journeys=_driven_for(SOUTHS)),
        "service-provision",
    ),
    "another policy's journeys of the same vehicle": (
        StoreBatch(journeys=_driven_for(NEXT)),
        "service-provision",
    ),
    "fixes that were driven for another": (
        StoreBatch(fixes=records.fixes(CAR, NOON + timedelta(days=10), NOON + timedelta(days=10, hours=1))),
        "service-provision",
    ),
    "what is masked": (
        StoreBatch(journeys=records.journeys(*(row | {"start_lat_deg": 9.0} for row in OWN))),
        "pricing",
    ),
}  # fmt: skip


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[TwoTenants]:
    store = wiring.open_store(database_url)
    store.migrate()
    own = records.journeys(*OWN)
    fixes = records.fixes(CAR, NOON, NOON + timedelta(minutes=9))
    store.write(StoreBatch(journeys=own, fixes=fixes, policies=[NORTHS, SOUTHS, NEXT]))
    with two_tenants(store, database_url, tmp_path, filled=False) as running:
        yield running
    store.close()


async def _all(served: TwoTenants, purpose: str, tags: list[str] | None = None) -> list[Answer]:
    token, found = served.token("north"), []
    for place, (path, media) in enumerate((path, media) for path in PATHS for media in MEDIA):
        if "/v1/journeys/" in path and "track" not in path and media != MEDIA[0]:
            continue
        held = {} if tags is None else {"if_none_match": tags[len(found)]}
        found.append(await served.get(token, path, purpose, accept=media, **held))
        assert found[-1].status in (200, 304), (place, path, media, found[-1])
    return found


def _tags(answers: list[Answer]) -> list[str]:
    return [dict(each.headers)[b"etag"].decode() for each in answers]


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_caller_does_not_see_changes_no_entity_tag(served: TwoTenants, change: str) -> None:
    batch, purpose = CHANGES[change]

    async def ask() -> tuple[list[str], list[Answer], list[str]]:
        async with served.running():
            before = _tags(await _all(served, purpose))
            served.store.write(batch)
            served.versions.tick()
            return before, await _all(served, purpose, before), _tags(await _all(served, purpose))

    before, conditional, after = asyncio.run(ask())
    assert {each.status for each in conditional} == {304}
    assert after == before == _tags(conditional)


def test_what_the_caller_sees_changes_every_entity_tag_that_it_is_in(served: TwoTenants) -> None:
    async def ask() -> tuple[list[str], list[Answer]]:
        async with served.running():
            before = _tags(await _all(served, "service-provision"))
            changed = [row | {"distance_m": 77.0, "ended_at": row["ended_at"] + timedelta(minutes=1)} for row in OWN]
            later = records.fixes(CAR, NOON, NOON + timedelta(minutes=9), lat_deg=52.5)
            served.store.write(StoreBatch(journeys=records.journeys(*changed), fixes=later))
            served.versions.tick()
            return before, await _all(served, "service-provision", before)

    before, after = asyncio.run(ask())
    assert [each.status for each in after] == [200] * len(before)
    assert not set(before) & set(_tags(after))
