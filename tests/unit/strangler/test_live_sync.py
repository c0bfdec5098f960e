"""Keeping a target up: whatever changes in legacy is what the target holds, and nothing is doubled or forgotten."""

import random
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from journeymesh.journeys.fixes import Fixes
from journeymesh.stores.port import JourneyQuery, RefusalQuery
from journeymesh.strangler import feed_session, live_sync
from journeymesh.strangler.control import now_us
from tests.support.builders import NOON, drive, us
from tests.support.feeds import Bench, policy_of
from tests.support.legacy_double import MemoryLegacy

US = 1_000_000
VEHICLES = [f"V{n}" for n in range(4)]


def short_drive(vehicle: str, start_s: float, seconds: int = 150) -> Fixes:
    return drive((15.0, seconds), vehicle=vehicle, start=NOON + timedelta(seconds=start_s), every_s=5.0)


@pytest.fixture(params=[True, False], ids=["with pre-images", "without"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    made = Bench(tmp_path, MemoryLegacy(pre_images=request.param))
    for vehicle in VEHICLES:
        made.legacy.put(Fixes.concat([short_drive(vehicle, 40_000 * n) for n in range(3)]))
    made.legacy.held_policies = [policy_of(vehicle) for vehicle in VEHICLES]
    made.route()
    made.feed()
    return made


def do_anything(legacy: MemoryLegacy, chance: random.Random) -> None:
    """One of the things that applications do."""
    vehicle = chance.choice(VEHICLES)
    documents = sorted(legacy.rows)
    match chance.randrange(5):
        case 0:
            legacy.put(short_drive(vehicle, chance.uniform(-90_000, 90_000)))
        case 1 if documents:
            legacy.remove(chance.sample(documents, min(len(documents), 40)))
        case 2 if documents:
            row = legacy.rows[at := chance.choice(documents)]
            legacy.change(at, (vehicle, row[1] + chance.randrange(-US, 90_000 * US), *row[2:]))
        case 3 if documents:
            row = legacy.rows[at := chance.choice(documents)]
            legacy.change(at, (row[0], row[1], row[2] + chance.choice([0.0, 1e-9, 1.0, 200.0]), *row[3:]))
        case _:
            name = chance.choice(VEHICLES)
            kept = [policy for policy in legacy.held_policies if policy.vehicle != name]
            if chance.random() < 0.7:
                kept.append(policy_of(name, valid_from=NOON + timedelta(hours=chance.randrange(-30, 30))))
            legacy.set_policies(kept)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_applications_do_the_target_is_what_a_run_over_legacy_gives(bench: Bench, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(5):
        for _ in range(chance.randrange(1, 8)):
            do_anything(bench.legacy, chance)
        bench.feed(batch_events=chance.choice([1, 7, 2000]) if len(bench.legacy.events) < 2_000 else 2000)
        assert bench.digest() == bench.expected()
        assert bench.is_complete()


def test_a_deleted_day_and_a_deleted_vehicle_leave_nothing(bench: Bench) -> None:
    legacy = bench.legacy
    legacy.remove([at for at, row in legacy.rows.items() if row[0] == "V1" or row[1] > us(NOON) + 70_000 * US])
    bench.feed()
    assert bench.digest() == bench.expected()
    store = bench.open_store("embedded")
    assert store.vehicles(["V1"]) == {}


def test_a_fix_that_joins_two_journeys_over_midnight_makes_them_one(bench: Bench) -> None:
    midnight_s = 12 * 3600
    bench.legacy.put(short_drive("V0", midnight_s - 400))
    bench.legacy.put(short_drive("V0", midnight_s + 200))
    bench.feed()
    assert bench.digest() == bench.expected()
    bridge = bench.legacy.put(short_drive("V0", midnight_s - 240, 400))
    bench.feed()
    assert bench.digest() == bench.expected()
    bench.legacy.remove(bridge)
    bench.feed()
    assert bench.digest() == bench.expected()


def test_a_position_that_is_lost_is_never_skipped_and_the_target_is_not_complete_until_compared(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.legacy.put(short_drive("V0", 5_000))
    bench.legacy.remove(sorted(bench.legacy.rows)[:60])
    bench.legacy.forget()
    seen: list[bool] = []
    read = MemoryLegacy.read

    def watched(self: MemoryLegacy, *args: object, **options: object) -> object:
        seen.append(bench.is_complete())
        return read(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryLegacy, "read", watched)
    bench.feed()
    assert seen
    assert not any(seen)
    assert bench.is_complete()
    assert bench.digest() == bench.expected()


def test_a_dropped_collection_empties_the_target(bench: Bench) -> None:
    bench.legacy.drop()
    bench.legacy.put(short_drive("V2", 0))
    bench.feed()
    assert bench.digest() == bench.expected()
    assert bench.is_complete()


def test_a_journey_under_way_leaves_no_history_and_a_changed_one_does(bench: Bench) -> None:
    whole = short_drive("V3", 20_000, 600)
    for first in range(0, len(whole), 30):
        bench.legacy.put(whole.take(slice(first, first + 30)))
        bench.feed()
    store = bench.open_store("embedded")
    start = NOON + timedelta(seconds=20_000)
    [found] = store.journeys(JourneyQuery(vehicle="V3", started_from=start, limit=1)).to_pylist()
    assert store.history(found["journey_id"]) == []
    middle = next(at for at, row in bench.legacy.rows.items() if row[1] == us(NOON) + 20_300 * US)
    bench.legacy.remove([middle])
    bench.feed()
    assert [entry.successor_id for entry in store.history(found["journey_id"])] == [found["journey_id"]]


def test_a_clock_that_was_ahead_is_believed_once_its_time_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    ahead = short_drive("V0", 0)
    soon = now_us() + 400 * US
    bench.legacy.put(replace(ahead, fixed_at_us=ahead.fixed_at_us - ahead.fixed_at_us[0] + soon))
    bench.legacy.held_policies = [policy_of("V0")]
    bench.route()
    bench.feed()
    store = bench.open_store("embedded")
    assert len(list(store.refusals(RefusalQuery(reason="clock_future")))) == len(ahead)

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(hours=1)

    monkeypatch.setattr(live_sync, "datetime", Later)
    monkeypatch.setattr(feed_session, "datetime", Later)
    monkeypatch.setattr(live_sync, "DUTIES_EVERY_S", 0.0)
    bench.feed()
    assert list(store.refusals(RefusalQuery(reason="clock_future"))) == []
    assert len(store.journeys(JourneyQuery())) == 1
