"""The door where two tenants use one policy number: each is answered as if the other were not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from journeymesh.cli.options import terms_of
from journeymesh.errors import NotFound, UsageError
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.door import Door
from journeymesh.strangler.routes import Route
from journeymesh.strangler.slices import Phase, Selector
from tests.ports.side_suite import answer_bytes, terms_of_one_number
from tests.support.doors import STORE, a_control, a_door, fill, following, route
from tests.support.recorded_legacy import RecordedLegacy

SLICES: dict[str, list[Route]] = {
    "legacy answers": [route(phase=Phase.SHADOW)],
    "the target answers": [route(phase=Phase.TARGET_WITH_REVERSE_SHADOW)],
    "another side for each tenant": [
        route("norths", Phase.TARGET_WITH_REVERSE_SHADOW, Selector(tenant="north")),
        route("souths", Phase.SHADOW, Selector(tenant="south")),
    ],
}


@contextmanager
def _door(folder: Path, slices: str, *tenants: str) -> Iterator[Door]:
    """A door before a legacy with these tenants' policies, and every drive of their devices."""
    folder.mkdir()
    policies, drives = terms_of_one_number()
    held = [policy for policy in policies if policy.tenant in tenants]
    source = RecordedLegacy(held_policies=held, recorded=drives)
    with following(a_control(folder, *SLICES[slices])) as follower:
        yield a_door(follower, source, {STORE: fill(MemoryStore(), source)})


def _told(door: Door, tenant: str, ids: list[str]) -> list[Any]:
    queries = [
        JourneyQuery(policy="P", tenant=tenant),
        JourneyQuery(policy="P", tenant=tenant, limit=2),
        JourneyQuery(policy="P", tenant=tenant, columns=("distance_m",)),
    ]
    journeys = [answer_bytes(door.journeys(query)) for query in queries]
    single = [door.journey(each, tenant) for each in ids]
    return [*journeys, *(None if each is None else answer_bytes(each) for each in single), terms_of(door, "P", tenant)]


@pytest.mark.parametrize("slices", SLICES)
def test_a_tenant_is_told_the_same_whether_another_uses_its_number_or_not(tmp_path: Path, slices: str) -> None:
    with _door(tmp_path / "both", slices, "north", "south") as door:
        everything = door.journeys(JourneyQuery(policy="P"))
        ids = everything["journey_id"].to_pylist()
        told = {tenant: _told(door, tenant, ids) for tenant in ("north", "south")}
        with pytest.raises(UsageError, match=r"exists in several tenants: north, south.*--tenant"):
            terms_of(door, "P")
        with pytest.raises(NotFound, match="tenant west has no policy P"):
            terms_of(door, "P", "west")
    assert 0 < pc.sum(pc.equal(everything["tenant"], "south")).as_py() < len(ids)
    for tenant, answers in told.items():
        with _door(tmp_path / tenant, slices, tenant) as door:
            assert answers == _told(door, tenant, ids)
