"""What every store must do. Each adapter's test class inherits this suite and says how a store is opened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import (
    JourneyQuery,
    RefusalQuery,
    RulesUsed,
    Store,
    StoreBatch,
    Superseded,
)
from tests.ports.book_suite import BookSuite
from tests.ports.change_feed_suite import ChangeFeedSuite
from tests.ports.refusal_suite import RefusalSuite
from tests.ports.writer_suite import WriterSuite
from tests.support.records import (
    BEGIN,
    DAY,
    EPOCH,
    NOON,
    ODD_NAMES,
    a_series,
    fixes,
    full_batch,
    ids,
    journey,
    journeys,
    only,
    policy,
    refusal,
    run,
)


class JourneyStoreSuite(BookSuite, ChangeFeedSuite, RefusalSuite, WriterSuite):
    """Inherited by every adapter's tests."""

    open_another: Callable[[], Store]

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """An empty, migrated store."""
        raise NotImplementedError

    def break_next_write(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the next write fail after it has begun to write."""
        raise NotImplementedError

    # journeys

    def test_a_journey_comes_back_exactly(self, store: Store) -> None:
        tiny = journey(
            start=datetime(2024, 3, 10, 12, 0, 0, 1, tzinfo=UTC),
            start_lat_deg=-0.0,
            end_lat_deg=1e-300,
            distance_m=0.1 + 0.2,
            idle_s=5e-324,
            max_speed_mps=1.7976931348623157e308,
            night_s=2.0,
            hours=[
                {"hour_of_week": 0, "distance_m": -0.0, "driving_s": 1e-300},
                {"hour_of_week": 167, "distance_m": 3.0, "driving_s": 1 / 3},
            ],
            harsh_events=[
                {
                    "kind": "braking",
                    "severity": "high",
                    "started_at": NOON + timedelta(microseconds=7),
                    "ended_at": NOON + timedelta(seconds=1),
                    "peak_at": NOON + timedelta(microseconds=999_999),
                    "peak_mps2": 5.0,
                    "lat_deg": -0.0,
                    "lon_deg": 179.99999999999997,
                    "fixes": 3,
                }
            ],
        )
        store.write(StoreBatch(journeys=journeys(tiny)))
        found = store.journeys(JourneyQuery())
        assert found.schema == JOURNEY_SCHEMA
        assert found.equals(journeys(tiny))
        row = only(found)
        assert str(row["start_lat_deg"]) == "-0.0"
        assert str(row["hours"][0]["distance_m"]) == "-0.0"
        assert str(row["harsh_events"][0]["lat_deg"]) == "-0.0"

    def test_an_empty_store_answers_with_nothing(self, store: Store) -> None:
        assert store.journeys(JourneyQuery()).equals(JOURNEY_SCHEMA.empty_table())
        assert store.journey("0" * 26) is None
        assert store.history("0" * 26) == []
        assert store.vehicles(["car-1"]) == {}
        assert store.policies() == []
        assert list(store.refusals(RefusalQuery())) == []
        assert store.rules() == []
        assert store.runs() == []
        assert len(store.fixes("car-1", NOON - DAY, NOON)) == 0
        assert store.expire(NOON) == 0
        assert store.digest() == MemoryStore().digest()

    def test_odd_vehicle_names_are_kept_and_found(self, store: Store) -> None:
        rows = [journey(name, policy=name, tenant=name) for name in ODD_NAMES]
        store.write(StoreBatch(journeys=journeys(*rows)))
        for name in ODD_NAMES:
            store.write(StoreBatch(fixes=fixes(name, NOON), policies=[policy(name, vehicle=name)]))
        for name, row in zip(ODD_NAMES, rows, strict=True):
            assert only(store.journeys(JourneyQuery(vehicle=name))) == row
            assert only(store.journeys(JourneyQuery(policy=name))) == row
            assert store.fixes(name, NOON, NOON).vehicles == (name,)
            assert [found.vehicle for found in store.policies(name)] == [name]
        assert set(store.vehicles(ODD_NAMES)) == set(ODD_NAMES)

    def test_writing_a_batch_again_changes_nothing(self, store: Store) -> None:
        batch = full_batch()
        store.write(batch)
        first = store.digest(), store.journeys(JourneyQuery()), store.runs(), store.rules()
        store.write(batch)
        assert (store.digest(), store.journeys(JourneyQuery()), store.runs(), store.rules()) == first
        assert store.history(journey()["journey_id"]) == []

    def test_a_journey_put_again_is_replaced(self, store: Store) -> None:
        store.write(StoreBatch(journeys=journeys(journey(distance_m=1.0), journey("car-2"))))
        store.write(StoreBatch(journeys=journeys(journey(distance_m=2.0, policy=None))))
        assert only(store.journeys(JourneyQuery(vehicle="car-1")))["distance_m"] == 2.0
        assert ids(store.journeys(JourneyQuery(policy="P-1"))) == [journey("car-2")["journey_id"]]

    def test_many_journeys_at_once_come_back(self, store: Store) -> None:
        rows = [journey(f"car-{i}", NOON + i * timedelta(seconds=1), distance_m=i / 7) for i in range(3_000)]
        store.write(StoreBatch(journeys=journeys(*rows)))
        assert store.journeys(JourneyQuery()).equals(journeys(*rows))
        spans = store.vehicles([f"car-{i}" for i in range(6_000)])
        assert len(spans) == 3_000

    def test_a_fault_in_the_middle_leaves_nothing(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        store.write(StoreBatch(journeys=journeys(journey())))
        before = store.digest()
        changed = journey(distance_m=99.0)
        moved = [Superseded(changed["journey_id"], changed["journey_id"])]
        with monkeypatch.context() as patch:
            self.break_next_write(store, patch)
            with pytest.raises((StoreUnavailable, RuntimeError)):
                store.write(full_batch(journeys=journeys(changed), superseded=moved))
        assert store.digest() == before
        assert store.history(changed["journey_id"]) == []
        assert store.runs() == []
        store.write(full_batch())
        assert len(store.runs()) == 1

    # questions

    def test_journeys_are_found_by_policy_vehicle_tenant_product_and_time(self, store: Store) -> None:
        a = journey("car-1", NOON)
        b = journey("car-1", NOON + DAY, policy="P-2", tenant="other")
        c = journey("car-2", NOON + 2 * DAY, policy=None, tenant=None, product=None)
        store.write(StoreBatch(journeys=journeys(c, b, a)))
        for query, found in (
            (JourneyQuery(), [a, b, c]),
            (JourneyQuery(policy="P-1"), [a]),
            (JourneyQuery(policies=("P-1", "P-2", "P-9")), [a, b]),
            (JourneyQuery(policies=("P-2",), vehicle="car-1", limit=1), [b]),
            (JourneyQuery(policies=()), []),
            (JourneyQuery(policy="P-1", policies=("P-2",)), []),
            (JourneyQuery(vehicle="car-1"), [a, b]),
            (JourneyQuery(tenant="other"), [b]),
            (JourneyQuery(product="motor"), [a, b]),
            (JourneyQuery(unattributed=True), [c]),
            (JourneyQuery(started_from=NOON + DAY), [b, c]),
            (JourneyQuery(started_to=NOON + DAY), [a]),
            (JourneyQuery(vehicle="car-1", started_from=NOON + timedelta(microseconds=1)), [b]),
            (JourneyQuery(limit=2), [a, b]),
            (JourneyQuery(limit=0), []),
            (JourneyQuery(policy="P-9"), []),
        ):
            assert ids(store.journeys(query)) == [row["journey_id"] for row in found], query

    def test_a_reader_gets_the_columns_it_asks_for(self, store: Store) -> None:
        rows = [journey("car-2", NOON + DAY, policy=None), journey("car-1", distance_m=-0.0)]
        store.write(StoreBatch(journeys=journeys(*rows)))
        for columns in (("distance_m", "journey_id", "policy"), ("harsh_events", "started_at"), ("fixes",)):
            for query in (JourneyQuery(columns=columns), JourneyQuery(columns=columns, policies=("P-9",))):
                whole = store.journeys(replace(query, columns=None))
                assert store.journeys(query).equals(whole.select(columns)), query

    @pytest.mark.parametrize("newest_first", [False, True])
    def test_pages_meet_every_journey_once(self, store: Store, newest_first: bool) -> None:
        rows = [journey(f"car-{i}", NOON + (i // 3) * 20 * DAY) for i in range(10)]  # three start at each instant
        store.write(StoreBatch(journeys=journeys(*rows)))
        seen: list[str] = []
        after = None
        query = JourneyQuery(policy="P-1", limit=4, newest_first=newest_first)
        while len(page := store.journeys(replace(query, after=after))):
            assert len(page) <= 4
            seen += ids(page)
            last = page.to_pylist()[-1]
            after = last["started_at"], last["journey_id"]
        rows.sort(key=lambda r: (r["started_at"], r["journey_id"]), reverse=newest_first)
        assert seen == [r["journey_id"] for r in rows]
        assert ids(store.journeys(replace(query, limit=None))) == seen

    def test_a_vehicle_spans_its_journeys_and_its_fixes(self, store: Store) -> None:
        store.write(StoreBatch(journeys=journeys(journey("car-1"), journey("car-1", NOON + DAY))))
        store.write(StoreBatch(fixes=fixes("car-1", NOON - timedelta(microseconds=1))))
        store.write(StoreBatch(fixes=fixes("car-2", NOON, NOON + DAY)))
        spans = store.vehicles(["car-1", "car-2", "car-3"])
        assert set(spans) == {"car-1", "car-2"}
        assert spans["car-1"].first_at == NOON - timedelta(microseconds=1)
        assert spans["car-1"].last_at == NOON + DAY + timedelta(minutes=20)
        assert (spans["car-2"].first_at, spans["car-2"].last_at) == (NOON, NOON + DAY)

    # superseding

    def test_a_superseded_journey_is_history_and_its_id_leads_to_the_successor(self, store: Store) -> None:
        old, new = journey(), journey(start=NOON - timedelta(minutes=3), distance_m=9.0)
        store.write(StoreBatch(journeys=journeys(old)))
        batch = StoreBatch(journeys=journeys(new), superseded=[Superseded(old["journey_id"], new["journey_id"])])
        for _ in range(2):
            store.write(batch)
            assert ids(store.journeys(JourneyQuery())) == [new["journey_id"]]
            assert only(store.journey(old["journey_id"])) == new
            (entry,) = store.history(old["journey_id"])
            assert only(entry.journey) == old
            assert entry.successor_id == new["journey_id"]
            assert abs(datetime.now(UTC) - entry.superseded_at) < timedelta(minutes=5)
        assert store.history(new["journey_id"]) == []

    def test_a_journey_that_keeps_its_start_keeps_its_id_and_its_former_content(self, store: Store) -> None:
        first, second, third = (journey(distance_m=float(i)) for i in range(3))
        same = [Superseded(first["journey_id"], first["journey_id"])]
        store.write(StoreBatch(journeys=journeys(first)))
        for row in (second, second, third, third):
            store.write(StoreBatch(journeys=journeys(row), superseded=same))
        assert only(store.journey(first["journey_id"])) == third
        assert [only(entry.journey) for entry in store.history(first["journey_id"])] == [first, second]

    def test_an_id_follows_its_successors_to_the_end(self, store: Store) -> None:
        a, b, c = (journey(start=NOON - i * timedelta(minutes=1)) for i in range(3))
        store.write(StoreBatch(journeys=journeys(a)))
        for old, new in ((a, b), (b, c)):
            moved = [Superseded(old["journey_id"], new["journey_id"])]
            store.write(StoreBatch(journeys=journeys(new), superseded=moved))
        assert only(store.journey(a["journey_id"])) == c
        store.write(StoreBatch(superseded=[Superseded(c["journey_id"], None)]))
        assert store.journey(a["journey_id"]) is None
        assert len(store.journeys(JourneyQuery())) == 0

    def test_successors_in_a_circle_lead_nowhere_and_a_live_journey_wins(self, store: Store) -> None:
        a, b = journey(), journey(start=NOON - DAY)
        store.write(StoreBatch(journeys=journeys(a, b)))
        store.write(StoreBatch(superseded=[Superseded(a["journey_id"], b["journey_id"])]))
        store.write(StoreBatch(superseded=[Superseded(b["journey_id"], a["journey_id"])]))
        assert store.journey(a["journey_id"]) is None
        store.write(StoreBatch(journeys=journeys(a)))
        assert only(store.journey(a["journey_id"])) == a
        assert only(store.journey(b["journey_id"])) == a

    def test_the_successor_named_last_counts(self, store: Store) -> None:
        a, b, c = (journey(start=NOON + i * DAY) for i in range(3))
        to_b, to_c = (StoreBatch(superseded=[Superseded(a["journey_id"], x["journey_id"])]) for x in (b, c))
        store.write(StoreBatch(journeys=journeys(a, b, c)))
        for batch, expected in ((to_b, b), (to_c, c), (to_b, b)):
            store.write(StoreBatch(journeys=journeys(a)))
            store.write(batch)
            assert only(store.journey(a["journey_id"])) == expected
        assert len(store.history(a["journey_id"])) == 2

    def test_superseding_an_unknown_journey_does_nothing(self, store: Store) -> None:
        store.write(
            StoreBatch(superseded=[Superseded("f" * 26, journey()["journey_id"])], journeys=journeys(journey()))
        )
        assert store.journey("f" * 26) is None
        assert store.history("f" * 26) == []

    # kept fixes

    def test_kept_fixes_come_back_exactly_by_range_across_days(self, store: Store) -> None:
        instants = [NOON + i * timedelta(hours=5, microseconds=1) for i in range(12)]
        at = np.arange(12, dtype=np.float64)
        speeds, flags = at / 3, np.array([1, 0, -1] * 4, np.int8)
        speeds[[0, 5]] = np.nan, -0.0
        kept = fixes("car-1", *instants, speed_mps=speeds, ignition=flags, received_at_us=at.astype(np.int64) * 7)
        store.write(StoreBatch(fixes=kept))
        found = store.fixes("car-1", instants[2], instants[9])
        expected = kept.take(slice(2, 10))
        assert found.vehicles == ("car-1",)
        for name, column in expected.columns():
            assert getattr(found, name).tobytes() == column.tobytes(), name
        assert found.heading_deg is None
        assert len(store.fixes("car-1", instants[0], instants[-1])) == 12
        assert len(store.fixes("car-1", instants[-1], instants[0])) == 0
        assert len(store.fixes("car-2", instants[0], instants[-1])) == 0

    def test_fixes_of_a_day_replace_that_day_only(self, store: Store) -> None:
        midnight = datetime(2024, 3, 11, tzinfo=UTC)
        last, first = midnight - timedelta(microseconds=1), midnight
        store.write(StoreBatch(fixes=fixes("car-1", NOON, last, first)))
        store.write(StoreBatch(fixes=fixes("car-1", first, first + timedelta(hours=1), lat_deg=40.0)))
        found = store.fixes("car-1", NOON - DAY, NOON + 2 * DAY)
        assert found.lat_deg.tolist() == [51.5, 51.5, 40.0, 40.0]
        before = store.digest()["fixes"]
        store.write(StoreBatch(fixes=fixes("car-1", last)))
        assert store.fixes("car-1", NOON - DAY, NOON + 2 * DAY).lat_deg.tolist() == [51.5, 40.0, 40.0]
        assert store.digest()["fixes"] != before

    def test_fixes_expire_by_whole_days(self, store: Store) -> None:
        midnight = datetime(2024, 3, 11, tzinfo=UTC)
        store.write(StoreBatch(fixes=fixes("car-1", NOON, midnight - timedelta(microseconds=1), midnight)))
        store.write(StoreBatch(fixes=fixes("car-2", NOON)))
        assert store.expire(midnight - timedelta(microseconds=1)) == 0
        assert store.expire(midnight) == 3
        assert store.expire(midnight) == 0
        assert len(store.fixes("car-1", NOON, midnight)) == 1
        assert set(store.vehicles(["car-1", "car-2"])) == {"car-1"}

    # policies, rules, runs

    def test_policies_are_put_by_number(self, store: Store) -> None:
        full = policy(
            "P-2",
            valid_to=NOON + timedelta(microseconds=1),
            zone="Europe/Paris",
            device="imei 1",
            vehicle=None,
            tenant="t",
            product="p",
            status="lapsed",
            declared_annual_distance_m=12_345.6,
        )
        store.write(StoreBatch(policies=[policy("P-3"), full, policy("P-1")]))
        store.write(StoreBatch(policies=[policy("P-3", status="lapsed")]))
        assert store.policies() == [policy("P-1"), full, policy("P-3", status="lapsed")]
        assert store.policies("P-2") == [full]
        assert store.policies("P-9") == []

    def test_a_number_has_a_policy_for_each_tenant_and_a_term_for_each_renewal(self, store: Store) -> None:
        first = policy(valid_to=NOON)
        renewed = policy(valid_from=NOON, status="lapsed")
        early = policy(valid_from=EPOCH - 9 * DAY, valid_to=BEGIN)
        other = policy(tenant="another", vehicle="car-9")
        store.write(StoreBatch(policies=[renewed, first, policy("P-0"), other]))
        store.write(StoreBatch(policies=[early]))
        assert store.policies("P-1") == [other, early, first, renewed]
        assert store.policies() == [policy("P-0"), other, early, first, renewed]
        store.write(StoreBatch(policies=[replace(first, status="lapsed")], policies_withdrawn=[renewed.term]))
        assert store.policies("P-1") == [other, early, replace(first, status="lapsed")]
        twin = MemoryStore()
        twin.write(StoreBatch(policies=store.policies()))
        assert store.digest() == twin.digest()

    def test_journeys_are_asked_for_by_tenant_and_term_of_a_number(self, store: Store) -> None:
        a, b = journey(), journey(start=NOON + DAY, policy_from=NOON)
        c = journey("car-9", tenant="another")
        d = journey("car-2", policy=None, tenant=None, product=None, policy_from=None)
        store.write(StoreBatch(journeys=journeys(a, b, c, d)))
        for query, expected in (
            (JourneyQuery(policy="P-1"), [a, c, b]),
            (JourneyQuery(policy="P-1", tenant="default"), [a, b]),
            (JourneyQuery(policy="P-1", tenant="default", terms=(BEGIN,)), [a]),
            (JourneyQuery(policy="P-1", terms=(NOON, NOON - DAY)), [b]),
            (JourneyQuery(policies=("P-1",), tenant="another", terms=(BEGIN, NOON)), [c]),
            (JourneyQuery(terms=()), []),
        ):
            assert sorted(ids(store.journeys(query))) == sorted(row["journey_id"] for row in expected)
        found = store.journeys(JourneyQuery(policy="P-1", tenant="default", columns=("policy_from",)))
        assert found["policy_from"].to_pylist() == [BEGIN, NOON]

    def test_rules_and_runs_are_remembered(self, store: Store) -> None:
        unfinished = run("run-2", started_at=NOON - DAY, finished_at=None, resume="5ce70873", counts={})
        for batch in (
            StoreBatch(rules=RulesUsed("r-1", "d1"), run=run(finished_at=None)),
            StoreBatch(rules=RulesUsed("r-1", "d1"), run=run()),
            StoreBatch(rules=RulesUsed("r-1", "d2"), run=unfinished),
        ):
            store.write(batch)
        assert store.rules() == [RulesUsed("r-1", "d1"), RulesUsed("r-1", "d2")]
        assert store.runs() == [unfinished, run()]

    # digests

    def test_digests_equal_those_of_memory_whatever_the_order_of_writing(self, store: Store) -> None:
        twin = MemoryStore()
        batches = list(a_series())
        for batch in batches:
            twin.write(batch)
        for batch in reversed(batches):
            store.write(batch)
        assert store.digest() == twin.digest()

    def test_every_part_of_the_content_changes_its_digest(self, store: Store) -> None:
        store.write(full_batch())
        seen = [store.digest()]
        for part, batch in (
            ("journeys", StoreBatch(journeys=journeys(journey(night_s=1.6)))),
            ("refusals", StoreBatch(refusals=[refusal(99)])),
            ("policies", StoreBatch(policies=[policy(zone="UTC", status="odd")])),
            ("fixes", StoreBatch(fixes=fixes("car-1", NOON, lat_deg=1.0))),
        ):
            store.write(batch)
            seen.append(store.digest())
            assert {key for key in seen[-1] if seen[-1][key] != seen[-2][key]} == {part}

    # side by side

    def test_a_reader_beside_a_writer_sees_whole_batches_only(self, store: Store) -> None:
        """Each batch gives all ten journeys one distance, and the tenth fix of a day that latitude."""
        rows = [journey(f"car-{i}") for i in range(10)]
        done, seen, faults = threading.Event(), set[float](), list[BaseException]()

        def read() -> None:
            try:
                while not done.is_set():
                    found = store.journeys(JourneyQuery())["distance_m"].to_pylist()
                    assert len(found) in (0, 10)
                    assert len(set(found)) <= 1
                    seen.update(found)
            except BaseException as fault:
                faults.append(fault)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for number in range(12):
            changed = [row | {"distance_m": float(number), "policy": f"P-{number % 2}"} for row in rows]
            same = [Superseded(row["journey_id"], row["journey_id"]) for row in rows]
            store.write(StoreBatch(journeys=journeys(*changed), superseded=same))
        done.set()
        for reader in readers:
            reader.join()
        assert not faults
        assert seen
        assert [len(store.history(row["journey_id"])) for row in rows] == [11] * 10

    def test_closing_twice_is_fine(self, store: Store) -> None:
        store.close()
        store.close()
