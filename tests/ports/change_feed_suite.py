"""What every store's change feed must do."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from journeymesh.errors import StoreUnavailable, UsageError
from journeymesh.stores.port import RefusalQuery, RulesUsed, Store, StoreBatch, StoreChanges, Superseded
from tests.support.follower import Follower
from tests.support.records import (
    DAY,
    NOON,
    ODD_NAMES,
    a_series,
    fixes,
    full_batch,
    journey,
    journeys,
    policy,
    refusal,
    run,
)

NOON_DAY = round(NOON.timestamp()) // 86_400


class ChangeFeedSuite:
    """Inherited by the suite of stores."""

    def break_next_write(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the next write fail after it has begun to write."""
        raise NotImplementedError

    def test_an_empty_store_has_a_position_and_no_changes(self, store: Store) -> None:
        first = store.changes(None)
        assert (first.vehicles, first.complete) == ((), True)
        assert store.changes(first.position) == first
        assert store.vehicles_after(None, 10) == []

    def test_vehicles_are_named_once_in_order_of_their_last_change(self, store: Store) -> None:
        for name in ("car-3", "car-1", "car-2", "car-3"):
            store.write(
                StoreBatch(journeys=journeys(journey(name, distance_m=float(len(store.runs())))), run=run(name))
            )
        found = store.changes(None)
        assert (found.vehicles, found.complete) == (("car-1", "car-2", "car-3"), True)
        assert store.changes(found.position) == StoreChanges(found.position, (), True)

    def test_pages_of_the_feed_meet_every_vehicle_once(self, store: Store) -> None:
        store.write(StoreBatch(journeys=journeys(*(journey(f"car-{i}") for i in range(7)))))
        store.write(StoreBatch(fixes=fixes("car-9", NOON)))
        seen: list[str] = []
        after, complete = None, False
        while not complete:
            page = store.changes(after, limit=3)
            assert len(page.vehicles) <= 3
            seen += page.vehicles
            after, complete = page.position, page.complete
        assert sorted(seen) == [*(f"car-{i}" for i in range(7)), "car-9"]
        assert seen[-1] == "car-9"
        assert after == store.changes(None).position

    def test_a_day_of_kept_fixes_and_a_policy_that_are_withdrawn_go(self, store: Store) -> None:
        today = NOON_DAY
        store.write(
            StoreBatch(fixes=fixes("car-1", NOON, NOON + DAY), policies=[policy("P-1"), policy("P-2", vehicle="x")])
        )
        store.write(
            StoreBatch(
                fixes_withdrawn=[("car-1", today), ("car-9", today)],
                policies_withdrawn=[policy("P-1").term, policy("P-9").term],
            )
        )
        assert store.fixes("car-1", NOON, NOON + DAY).fixed_at_us.tolist() == [round((NOON + DAY).timestamp() * 1e6)]
        assert [held.number for held in store.policies()] == ["P-2"]
        again = StoreBatch(
            fixes=fixes("car-1", NOON + DAY),
            fixes_withdrawn=[("car-1", today + 1)],
            policies=[policy("P-2", vehicle="x")],
            policies_withdrawn=[policy("P-2").term],
        )
        before = store.digest()
        store.write(again)
        assert store.digest() == before

    def test_days_of_vehicles_with_odd_names_are_withdrawn_and_named(self, store: Store) -> None:
        for name in ODD_NAMES:
            store.write(StoreBatch(fixes=fixes(name, NOON, NOON + DAY)))
        before = store.changes(None).position
        store.write(StoreBatch(fixes_withdrawn=[(name, NOON_DAY) for name in ODD_NAMES]))
        assert sorted(store.changes(before).vehicles) == sorted(ODD_NAMES)
        for name in ODD_NAMES:
            assert len(store.fixes(name, NOON, NOON + DAY)) == 1

    def test_every_part_of_a_vehicle_moves_it(self, store: Store) -> None:
        old = journey("car-1")
        wrong = refusal(reason="position_spike", vehicle="car-4", fixed_at=NOON)
        for batch, moved in (
            (StoreBatch(journeys=journeys(old, journey("car-2"))), {"car-1", "car-2"}),
            (StoreBatch(fixes=fixes("car-3", NOON)), {"car-3"}),
            (StoreBatch(refusals=[wrong]), {"car-4"}),
            (StoreBatch(journeys=journeys(journey("car-2", distance_m=7.0))), {"car-2"}),
            (StoreBatch(superseded=[Superseded(old["journey_id"], None)]), {"car-1"}),
            (StoreBatch(refusals_withdrawn=[wrong.refusal_id]), {"car-4"}),
            (StoreBatch(fixes=fixes("car-5", NOON)), {"car-5"}),
            (StoreBatch(fixes_withdrawn=[("car-5", NOON_DAY)]), {"car-5"}),
        ):
            before = store.changes(None).position
            store.write(batch)
            assert set(store.changes(before).vehicles) == moved, batch
        before = store.changes(None).position
        assert store.expire(NOON + DAY) == 1
        assert store.changes(before).vehicles == ("car-3",)

    def test_policies_and_rules_and_nameless_refusals_move_the_position(self, store: Store) -> None:
        for batch in (
            StoreBatch(policies=[policy()]),
            StoreBatch(policies=[policy(status="lapsed")]),
            StoreBatch(rules=RulesUsed("r-1", "d1")),
            StoreBatch(refusals=[refusal()]),
            StoreBatch(refusals_withdrawn=[refusal().refusal_id]),
        ):
            before = store.changes(None)
            store.write(batch)
            after = store.changes(before.position)
            assert after.vehicles == ()
            assert int(after.position) > int(before.position), batch

    def test_reading_and_expiring_nothing_do_not_move_the_position(self, store: Store) -> None:
        store.write(full_batch())
        before = store.changes(None)
        store.digest()
        assert store.expire(NOON - DAY) == 0
        assert store.changes(None) == before

    def test_a_failed_write_does_not_move_the_position(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        store.write(StoreBatch(journeys=journeys(journey())))
        before = store.changes(None)
        with monkeypatch.context() as patch:
            self.break_next_write(store, patch)
            with pytest.raises((StoreUnavailable, RuntimeError)):
                store.write(full_batch())
        assert store.changes(None) == before
        store.write(full_batch())
        assert set(store.changes(before.position).vehicles) >= {"car-2"}

    def test_a_position_survives_closing_and_is_never_taken_back(self, store: Store) -> None:
        store.write(full_batch())
        before = store.changes(None)
        store.close()
        assert store.changes(before.position) == StoreChanges(before.position, (), True)
        later = str(int(before.position) + 1000)
        assert store.changes(later) == StoreChanges(later, (), True)

    def test_what_is_no_position_is_refused(self, store: Store) -> None:
        for wrong in ("", "x", "-1", "1.5", "²", "9" * 30):
            with pytest.raises(UsageError, match="no position"):
                store.changes(wrong)
        with pytest.raises(UsageError, match="at least 1"):
            store.changes(None, limit=0)

    def test_a_vehicle_of_which_all_is_gone_is_a_change_but_no_vehicle(self, store: Store) -> None:
        only_journey, only_refusal = journey("car-1"), refusal(vehicle="car-2", fixed_at=NOON)
        store.write(StoreBatch(journeys=journeys(only_journey), refusals=[only_refusal], fixes=fixes("car-3", NOON)))
        assert store.vehicles_after(None, 10) == ["car-1", "car-2", "car-3"]
        store.write(
            StoreBatch(
                superseded=[Superseded(only_journey["journey_id"], None)],
                refusals_withdrawn=[only_refusal.refusal_id],
            )
        )
        store.expire(NOON + DAY)
        assert store.vehicles_after(None, 10) == []
        assert sorted(store.changes(None).vehicles) == ["car-1", "car-2", "car-3"]

    def test_vehicles_are_met_by_name_in_pages(self, store: Store) -> None:
        store.write(StoreBatch(journeys=journeys(*(journey(name) for name in ODD_NAMES[::2]))))
        store.write(StoreBatch(fixes=fixes(ODD_NAMES[1], NOON)))
        store.write(StoreBatch(refusals=[refusal(i, vehicle=name) for i, name in enumerate(ODD_NAMES)]))
        seen: list[str] = []
        while page := store.vehicles_after(seen[-1] if seen else None, 2):
            assert len(page) <= 2
            seen += page
        assert seen == sorted(ODD_NAMES)
        assert sorted(store.changes(None).vehicles) == sorted(ODD_NAMES)
        assert store.vehicles_after(None, 0) == []

    def test_refusals_without_a_vehicle_are_found(self, store: Store) -> None:
        store.write(StoreBatch(refusals=[refusal(1), refusal(2, vehicle="car-1"), refusal(3)]))
        found = [item for _, item in store.refusals(RefusalQuery(without_vehicle=True))]
        assert sorted(item.refusal_id for item in found) == sorted(refusal(n).refusal_id for n in (1, 3))
        assert all(item in (refusal(1), refusal(3)) for item in found)
        assert len(list(store.refusals(RefusalQuery(without_vehicle=True, limit=1)))) == 1

    def test_a_copy_that_follows_the_feed_is_the_store(self, store: Store) -> None:
        follower = Follower()
        for batch in a_series():
            store.write(batch)
            follower.follow(store, limit=2)
        assert len(follower.copied) > 20
        assert follower.differences(store) == []

    def test_a_follower_beside_several_writers_misses_nothing(self, store: Store) -> None:
        follower, faults = Follower(), list[BaseException]()

        def write(writer: int) -> None:
            try:
                for number in range(8):
                    row = journey(f"car-{writer}-{number % 3}", NOON + number * timedelta(hours=1))
                    store.write(StoreBatch(journeys=journeys(row)))
            except BaseException as fault:
                faults.append(fault)

        writers = [threading.Thread(target=write, args=(writer,)) for writer in range(3)]
        for thread in writers:
            thread.start()
        while any(thread.is_alive() for thread in writers):
            follower.follow(store, limit=2)
        for thread in writers:
            thread.join()
        follower.follow(store)
        assert faults == []
        assert len(follower.copied) == 9
        assert follower.differences(store) == []
