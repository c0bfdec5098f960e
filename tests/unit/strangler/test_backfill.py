"""Filling a target: all of it, once, from wherever it was."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from journeymesh.engines.local import run
from journeymesh.engines.port import RunOptions
from journeymesh.errors import SourceUnreadable
from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.vehicle_port import TooMuchAsked
from journeymesh.stores.port import StoreBatch
from journeymesh.stores.sql import SqlStore
from journeymesh.strangler.backfill import COMPLETE, FAILED, ChunkDiffers, backfill_of, begin_again
from journeymesh.strangler.control import now_us
from journeymesh.strangler.feeds import FeedLease, FeedTaken, LagState, feed_of, lag_of
from journeymesh.strangler.routes import mark_completeness
from tests.support.builders import NOON, changed, drive
from tests.support.feeds import Bench, policy_of
from tests.support.legacy_double import MemoryLegacy


def week(vehicle: str, days: int = 3) -> Fixes:
    """A drive on each of some days, with a position missing and a spike."""
    parts = [
        drive((15.0, 400), (0.0, 400), (20.0, 200), vehicle=vehicle, start=NOON + timedelta(days=d))
        for d in range(days)
    ]
    fixes = Fixes.concat(parts)
    fixes = changed(fixes, 50, lat_deg=float("nan"))
    return changed(fixes, 120, lat_deg=float(fixes.lat_deg[120]) + 2.0)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    vehicles = [f"V{n}" for n in range(7)]
    for vehicle in vehicles:
        made.legacy.put(week(vehicle))
    made.legacy.held_policies = [policy_of(vehicle) for vehicle in vehicles]
    return made


def test_a_filled_target_holds_what_one_run_over_legacy_gives(bench: Bench) -> None:
    bench.route()
    bench.feed()
    assert bench.digest() == bench.expected()
    assert bench.is_complete()
    state = backfill_of(bench.control, "pilot", "embedded")
    assert state is not None
    assert (state.state, state.vehicles, state.vehicles_done) == (COMPLETE, 7, 7)
    assert state.fixes > 7 * 3000
    lag = lag_of(feed_of(bench.control, "legacy", "embedded"), now_us())
    assert lag.state is LagState.STOPPED
    assert lag.seconds is not None


def test_filling_again_writes_nothing_but_how_far_it_is(bench: Bench) -> None:
    bench.route()
    bench.feed()
    before = bench.digest()
    store = bench.open_store("embedded")
    position = store.changes(None).position
    begin_again(bench.control.writing(), "pilot", "embedded", "to see")
    mark_completeness(bench.control.writing(), ["pilot"], False, "to see")
    bench.feed()
    assert store.changes(position).vehicles == ()
    assert bench.digest() == before


def test_a_slice_brings_the_vehicles_of_its_policies_and_no_others(bench: Bench) -> None:
    bench.legacy.held_policies = [policy_of(f"V{n}", product="van" if n < 3 else "car") for n in range(7)]
    bench.route(product="van")
    bench.feed()
    store = bench.open_store("embedded")
    assert store.vehicles_after(None, 10) == ["V0", "V1", "V2"]
    bench.route("cars", product="car")
    bench.feed()
    assert bench.digest() == bench.expected()


def test_what_legacy_never_had_goes_from_the_target(bench: Bench) -> None:
    bench.route()
    bench.feed()
    store = bench.open_store("embedded")
    other = MemoryLegacy()
    other.put(week("V9"))
    run(other, store, RunOptions(rules=bench.rules, policies=[]))
    begin_again(bench.control.writing(), "pilot", "embedded", "to see")
    mark_completeness(bench.control.writing(), ["pilot"], False, "to see")
    bench.feed()
    assert bench.digest() == bench.expected()


def test_a_source_that_is_slow_is_waited_for_and_the_wait_is_counted(bench: Bench) -> None:
    slow = iter([1.0, 1.0])
    bench.legacy.latency = lambda: next(slow, 0.0)
    bench.route()
    bench.feed()
    state = backfill_of(bench.control, "pilot", "embedded")
    assert state is not None
    assert state.throttled_s == 1.0
    assert bench.digest() == bench.expected()


def test_a_store_that_loses_what_is_written_fails_the_backfill_by_name(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lossy(self: SqlStore, batch: StoreBatch) -> None:
        if batch.journeys is not None:
            batch = replace(batch, journeys=batch.journeys.slice(1))
        write(self, batch)

    write = SqlStore.write
    monkeypatch.setattr(SqlStore, "write", lossy)
    bench.route()
    with pytest.raises(ChunkDiffers, match="differs from what was written"):
        bench.feed()
    state = backfill_of(bench.control, "pilot", "embedded")
    assert state is not None
    assert state.state == FAILED
    assert not bench.is_complete()
    monkeypatch.undo()
    bench.feed()
    assert bench.is_complete()
    assert bench.digest() == bench.expected()


def test_a_source_that_breaks_is_recorded_and_gone_on_from(bench: Bench) -> None:
    bench.route()
    reads = bench.legacy.reads
    bench.legacy.break_at = reads + 3
    with pytest.raises(SourceUnreadable):
        bench.feed(chunk_fixes=32)
    assert lag_of(feed_of(bench.control, "legacy", "embedded"), now_us()).state is LagState.FAILED
    assert not bench.is_complete()
    bench.feed(chunk_fixes=32)
    assert bench.digest() == bench.expected()


def test_two_feeders_do_not_feed_one_target(bench: Bench) -> None:
    bench.route()
    other = FeedLease(bench.control, "legacy", "embedded")
    other.take()
    with pytest.raises(FeedTaken, match="stop that feeder first"):
        bench.feed()
    other.release()
    bench.feed()
    assert bench.is_complete()
    with pytest.raises(FeedTaken):
        other.note()


def test_a_chunk_that_is_more_than_legacy_gives_at_once_is_halved(bench: Bench) -> None:
    bench.legacy.most_documents = 5_000  # a vehicle has some 3,000
    bench.chunk_fixes = 20_000
    bench.route()
    bench.feed()
    assert bench.legacy.refused
    assert bench.digest() == bench.expected()
    assert bench.is_complete()


def test_a_vehicle_that_is_more_than_legacy_gives_at_once_is_refused(bench: Bench) -> None:
    bench.legacy.most_documents = 1_000
    bench.route()
    with pytest.raises(TooMuchAsked):
        bench.feed()
    assert not bench.is_complete()


def test_a_backfill_that_is_taken_up_again_takes_no_more_vehicles_at_once_than_before(bench: Bench) -> None:
    bench.chunk_fixes = 3_500  # a vehicle has some 3,000 fixes
    bench.route()
    bench.legacy.break_at = 4
    with pytest.raises(SourceUnreadable):
        bench.feed()
    bench.legacy.most_documents = 4_000
    refused = bench.legacy.refused
    bench.feed()
    assert bench.legacy.refused == refused
    assert bench.digest() == bench.expected()
