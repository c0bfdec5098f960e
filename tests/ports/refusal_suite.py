"""What every store must answer about its quarantine."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from journeymesh.stores.port import RefusalQuery, Store, StoreBatch
from tests.support.records import DAY, NOON, refusal


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

    def test_a_refusal_that_is_there_stays_and_one_withdrawn_goes(self, store: Store) -> None:
        spike = refusal(
            reason="position_spike", vehicle="car-1", fixed_at=NOON, lat_deg=-0.0, lon_deg=181.5, content='{"a": "ü"}'
        )
        store.write(StoreBatch(refusals=[spike, refusal(2), refusal(2, detail="twice in one batch")]))
        store.write(StoreBatch(refusals=[refusal(2, detail="said differently")]))
        found = dict(store.refusals(RefusalQuery()))
        assert found == {spike.refusal_id: spike, refusal(2).refusal_id: refusal(2)}
        assert str(found[spike.refusal_id].lat_deg) == "-0.0"
        store.write(StoreBatch(refusals_withdrawn=[spike.refusal_id, "unknown"]))
        assert dict(store.refusals(RefusalQuery())) == {refusal(2).refusal_id: refusal(2)}

    def test_a_refusal_withdrawn_and_put_in_one_batch_is_there(self, store: Store) -> None:
        store.write(StoreBatch(refusals=[refusal()]))
        store.write(StoreBatch(refusals=[refusal()], refusals_withdrawn=[refusal().refusal_id]))
        assert dict(store.refusals(RefusalQuery())) == {refusal().refusal_id: refusal()}

    def test_refusals_are_found_by_reason_vehicle_and_time_in_pages(self, store: Store) -> None:
        held = [refusal(i, reason="position_spike", vehicle="car-1", fixed_at=NOON + i * DAY) for i in range(5)]
        held += [refusal(i, reason="conflicting_fix", vehicle="car-2", fixed_at=NOON + i * DAY) for i in range(5)]
        held += [refusal(i) for i in range(5)]
        store.write(StoreBatch(refusals=held))
        for query, expected in (
            (RefusalQuery(), held),
            (RefusalQuery(reason="position_spike"), held[:5]),
            (RefusalQuery(vehicle="car-2"), held[5:10]),
            (RefusalQuery(vehicle="car-2", fixed_from=NOON + DAY, fixed_to=NOON + 3 * DAY), held[6:8]),
            (RefusalQuery(limit=0), []),
        ):
            found = [item for _, item in store.refusals(query)]
            assert sorted(found, key=lambda r: r.refusal_id) == sorted(expected, key=lambda r: r.refusal_id), query
        first = list(store.refusals(RefusalQuery(limit=4)))
        rest = list(store.refusals(RefusalQuery(after=first[-1][0])))
        assert first + rest == list(store.refusals(RefusalQuery()))
        assert sorted(key for key, _ in first + rest) == sorted(item.refusal_id for item in held)

    def test_refusals_are_found_by_their_ids(self, store: Store) -> None:
        store.write(StoreBatch(refusals=[refusal(i) for i in range(5)]))
        wanted = (refusal(1).refusal_id, "unknown", refusal(3).refusal_id)
        assert {key for key, _ in store.refusals(RefusalQuery(among=wanted))} == {wanted[0], wanted[2]}
        assert list(store.refusals(RefusalQuery(among=()))) == []

    def test_a_refusal_keeps_the_id_that_a_store_gave_it(self, store: Store) -> None:
        store.write(StoreBatch(refusals=[refusal(1, input_key="file:///day1/fixes.csv")]))
        ((refusal_id, found),) = store.refusals(RefusalQuery())
        assert found.refusal_id == refusal_id != refusal(1).refusal_id

    def test_long_and_missing_positions_of_refusals_are_kept(self, store: Store) -> None:
        lost = refusal(reason="position_missing", vehicle="v", fixed_at=NOON, lat_deg=float("nan"), lon_deg=None)
        long = refusal(7, content='"' + "ä" * 2_000_000 + '"', lat_deg=float("inf"))
        store.write(StoreBatch(refusals=[lost, long]))
        found = dict(store.refusals(RefusalQuery()))
        assert found[lost.refusal_id].lat_deg is None
        assert found[long.refusal_id] == long
