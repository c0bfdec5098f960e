"""Refusals as stores had them while a refusal's id was made of vehicle, instant and position, or of its origin."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.journey import Refusal, fix_key
from journeymesh.stores.port import RefusalQuery, Store, StoreBatch
from tests.support.records import NOON, refusal


def former(refused: Refusal) -> Refusal:
    """The refusal under the id that it had."""
    key = f"{refused.reason}\0{refused.origin}"
    if refused.vehicle is not None and refused.fixed_at is not None:
        place = f"{refused.lat_deg!r}\0{refused.lon_deg!r}"
        key = f"{refused.reason}\0{refused.vehicle}\0{refused.fixed_at.isoformat()}\0{place}"
    stored_id = hashlib.blake2b(key.encode(), digest_size=13).hexdigest()
    return replace(refused, input_key=None, stored_id=stored_id)


US = round(NOON.timestamp() * 1e6)
CONTENT = f'{{"fixed_at_us": {US}, "lat_deg": 51.5, "lon_deg": -0.0, "speed_mps": 7.25, "ignition": -1, '
CONTENT += f'"received_at_us": {US}, "vehicle": "car-1"}}'
SPIKE = refusal(
    1, reason="position_spike", vehicle="car-1", fixed_at=NOON, lat_deg=51.5, lon_deg=-0.0, content=CONTENT,
    input_key=fix_key("car-1", {"fixed_at_us": US, "lat_deg": 51.5, "lon_deg": 0.0, "speed_mps": 7.25}),
)  # fmt: skip
"""Refused by the pass: it is known by what it reports."""
UNREADABLE = refusal(2, reason="value_unparseable", vehicle="car-1", fixed_at=NOON, lat_deg=51.5, lon_deg=-0.0)
"""A document with an unreadable speed: it is known by its own id."""
NAMELESS = refusal(3, reason="vehicle_missing")
"""A document that was known by its own id all along."""
ROW = refusal(4, reason="position_unparseable", origin="fixes.csv:3", content='{"vehicle": "car-1", "lat": "bad"}')
"""A row of a file: where that file is, nobody knows."""
FORMER = [former(one) for one in (SPIKE, UNREADABLE, NAMELESS, ROW)]


class FormerRefusalsSuite:
    """Inherited by the tests of every store that lasts."""

    @pytest.fixture
    def store_of_before(self) -> Callable[[], Store]:
        """A store as it was, with the refusals ``FORMER`` and nothing else in it."""
        raise NotImplementedError

    def test_a_store_of_before_gives_refusals_the_ids_of_their_inputs(
        self, store_of_before: Callable[[], Store]
    ) -> None:
        store = store_of_before()
        with pytest.raises(StoreUnavailable, match="older schema"):
            list(store.refusals(RefusalQuery()))
        store.migrate()
        found = {key: refused.origin for key, refused in store.refusals(RefusalQuery())}
        assert found == {one.refusal_id: one.origin for one in (SPIKE, UNREADABLE, NAMELESS, former(ROW))}
        assert store.changes(None).vehicles == ("car-1",)
        store.write(StoreBatch(refusals=[SPIKE, UNREADABLE, NAMELESS]))
        assert len(list(store.refusals(RefusalQuery()))) == len(FORMER)
        store.migrate()
        assert len(list(store.refusals(RefusalQuery()))) == len(FORMER)
