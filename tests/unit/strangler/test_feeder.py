"""What a running feeder says of itself: which routes it acts on, and what stops it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from journeymesh.errors import JourneymeshError, SourceUnreadable
from journeymesh.stores.writers import WriterOvertaken
from journeymesh.strangler import feeder as feeder_module
from journeymesh.strangler import feeds as feeds_module
from journeymesh.strangler.backfill import backfill_of, begin_again
from journeymesh.strangler.control import bump, now_us
from journeymesh.strangler.document_index import DocumentIndex
from journeymesh.strangler.feeder import Feeder
from journeymesh.strangler.feeds import Feed, FeedLease, FeedTaken, LagState, feed_of, lag_of
from journeymesh.strangler.routes import mark_completeness, read_routes
from journeymesh.strangler.slices import Phase
from tests.support.builders import NOON, drive
from tests.support.feeds import Bench, policy_of


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    for n in range(4):
        made.legacy.put(drive((15.0, 300), vehicle=f"V{n}", start=NOON, every_s=5.0))
    made.legacy.held_policies = [policy_of(f"V{n}", product="van" if n < 2 else "car") for n in range(4)]
    made.route(product="van")
    return made


@contextmanager
def running(feeder: Feeder) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=feeder.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def soon(holds: Callable[[], object], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)
    return bool(holds())


def feed(bench: Bench) -> Feed:
    return feed_of(bench.control, "legacy", "embedded") or Feed("legacy", "embedded")


def acts_on_the_present_revision(bench: Bench) -> bool:
    return feed(bench).revision == read_routes(bench.control).revision


def test_a_feeder_records_the_revision_of_the_routes_that_it_acts_on(bench: Bench) -> None:
    with running(bench.feeder()):
        assert soon(bench.is_complete)
        assert soon(lambda: acts_on_the_present_revision(bench))
        bench.route("cars", Phase.SHADOW, product="car")
        assert soon(lambda: bench.is_complete("cars"))
        assert soon(lambda: acts_on_the_present_revision(bench))
        with bench.control.writing() as connection:
            bump(connection)
        assert soon(lambda: acts_on_the_present_revision(bench))


def test_what_is_under_way_by_former_routes_ends_before_a_later_revision_is_recorded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on = threading.Event(), threading.Event()
    read = type(bench.legacy).read

    def slow(*args: object, **options: object) -> object:
        asked.set()
        assert go_on.wait(20)
        return read(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(bench.legacy), "read", slow)
    with running(bench.feeder()):
        assert asked.wait(20)
        before = feed(bench).revision
        with bench.control.writing() as connection:
            bump(connection)
        time.sleep(3 * feeder_module.FOLLOW_S)
        assert feed(bench).revision == before
        go_on.set()
        assert soon(lambda: acts_on_the_present_revision(bench))


def test_a_fault_is_told_when_it_begins_and_not_again_until_it_is_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeder_module, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(feeder_module, "LONGEST_PAUSE_S", 0.05)
    told: list[tuple[str, JourneymeshError]] = []
    feeder = bench.feeder()
    feeder.on_fault = lambda target, fault: told.append((target, fault))
    with running(feeder):
        assert soon(bench.is_complete)
        assert told == []
        bench.legacy.broken = SourceUnreadable("legacy went away", todo="start it again")
        assert soon(lambda: feed(bench).fault)
        time.sleep(0.5)
        assert [(target, str(fault)) for target, fault in told] == [("embedded", "legacy went away: start it again")]
        bench.legacy.broken = None
        bench.legacy.put(drive((15.0, 300), vehicle="V0", start=NOON + timedelta(days=1), every_s=5.0))
        assert soon(lambda: feed(bench).fault is None)
        bench.legacy.broken = SourceUnreadable("legacy went away again", todo="start it again")
        assert soon(lambda: len(told) == 2)


def test_a_feeder_that_waits_after_a_fault_still_follows_the_routes(bench: Bench) -> None:
    bench.legacy.broken = SourceUnreadable("legacy went away", todo="start it again")
    with running(bench.feeder()):
        assert soon(lambda: feed(bench).fault)
        for _ in range(3):
            with bench.control.writing() as connection:
                bump(connection)
            assert soon(lambda: acts_on_the_present_revision(bench))
        assert feed(bench).fault is not None


def test_a_feeder_that_ended_as_told_has_stopped_however_long_ago(bench: Bench) -> None:
    bench.route()
    bench.feed()
    feed = feed_of(bench.control, "legacy", "embedded")
    for minutes in (0, 5, 24 * 60):
        lag = lag_of(feed, now_us() + minutes * 60_000_000)
        assert lag.state is LagState.STOPPED
        assert lag.seconds is not None
        assert lag.seconds >= minutes * 60


def test_a_feeder_that_vanished_is_stuck_after_half_a_minute(bench: Bench) -> None:
    bench.route()
    lease = FeedLease(bench.control, "legacy", "embedded")
    lease.take()
    lease.note(last_empty_us=now_us())
    feed = feed_of(bench.control, "legacy", "embedded")
    assert lag_of(feed, now_us() + 29_000_000).state is not LagState.STUCK
    assert lag_of(feed, now_us() + 31_000_000).state is LagState.STUCK


def test_a_feeder_ends_with_what_no_feed_expected_rather_than_look_stuck(bench: Bench) -> None:
    bench.legacy.broken = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        bench.feeder().run(threading.Event())


def test_a_feeder_stopped_between_check_and_write_is_refused_when_another_has_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds_module, "LEASE_S", 0.3)
    bench = Bench(tmp_path)
    bench.legacy.put(drive((15.0, 300), vehicle="V0", start=NOON, every_s=5.0))
    bench.route()
    bench.feed()
    checked, resumed = threading.Event(), threading.Event()
    check = FeedLease.check

    def stopped_after(lease: FeedLease) -> None:
        check(lease)
        if threading.current_thread().name == "feed embedded" and armed.is_set() and not checked.is_set():
            checked.set()
            resumed.wait(60)

    armed, faults = threading.Event(), list[JourneymeshError]()
    monkeypatch.setattr(FeedLease, "check", stopped_after)
    former = replace(bench.feeder(), on_fault=lambda _, fault: faults.append(fault))
    with running(former):
        assert soon(lambda: feed(bench).last_empty_us is not None)
        armed.set()
        late = bench.legacy.put(drive((15.0, 60), vehicle="V0", start=NOON + timedelta(hours=2), every_s=5.0))
        assert checked.wait(20)
        bench.legacy.remove(late)
        time.sleep(0.4)
        bench.feed()
        assert bench.digest() == bench.expected()
        resumed.set()
        assert soon(lambda: WriterOvertaken in map(type, faults))
    assert bench.digest() == bench.expected()


@pytest.mark.parametrize("act", [
    lambda bench, lease: mark_completeness(lease.writing(), ["pilot"], False, "stale"),
    lambda bench, lease: begin_again(lease.writing(), "pilot", "embedded", "stale"),
    lambda bench, lease: DocumentIndex("legacy", "embedded", bench.control.reading, lease.writing).forget(),
])  # fmt: skip
def test_a_feeder_without_the_lease_records_nothing(bench: Bench, act: Callable[[Bench, FeedLease], None]) -> None:
    bench.feed()
    former, later = (FeedLease(bench.control, "legacy", "embedded", owner=name) for name in ("a/b/c/1", "a/b/c/2"))
    former.take()
    former.release()
    later.take()
    assert later.taken_us > former.taken_us
    before = read_routes(bench.control), backfill_of(bench.control, "pilot", "embedded")
    with pytest.raises(FeedTaken):
        act(bench, former)
    assert (read_routes(bench.control), backfill_of(bench.control, "pilot", "embedded")) == before
