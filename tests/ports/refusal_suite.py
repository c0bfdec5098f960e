"""How every store answers about its quarantine by time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from journeymesh.stores.port import RefusalQuery, Store, StoreBatch
from tests.support.records import NOON, refusal


class RefusalSuite:
    """Inherited by the suite of stores."""

    def test_refusals_by_time_come_in_order_of_their_fixes_page_by_page(self, store: Store) -> None:
        at = [NOON + timedelta(seconds=7 * k % 5) for k in range(9)]
        put = [refusal(k, vehicle="car-1", fixed_at=at[k]) for k in range(9)]
        others = [refusal(90), refusal(91, vehicle="car-1"), refusal(92, vehicle="car-2", fixed_at=NOON)]
        store.write(StoreBatch(refusals=[*put, *others]))
        wanted = sorted((each.fixed_at, each.refusal_id) for each in put)
        query, found = RefusalQuery(vehicle="car-1", by_time=True, limit=2), []
        while page := [(each.fixed_at, key) for key, each in store.refusals(query)]:
            found += page
            query = replace(query, after_time=page[-1])
        assert found == wanted
        some = RefusalQuery(vehicle="car-1", by_time=True, fixed_from=wanted[3][0], fixed_to=wanted[-1][0])
        assert [key for key, _ in store.refusals(some)] == [
            key for fixed_at, key in wanted if wanted[3][0] <= fixed_at < wanted[-1][0]
        ]
