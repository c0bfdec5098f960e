"""What a running feeder says of itself: which routes it acts on, and what stops it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from journeymesh.errors import JourneymeshError, SourceUnreadable
from journeymesh.strangler import feeder as feeder_module
from journeymesh.strangler.control import bump
from journeymesh.strangler.feeder import Feeder
from journeymesh.strangler.feeds import Feed, feed_of
from journeymesh.strangler.phases import Phase
from journeymesh.strangler.routes import read_routes
from tests.builders import NOON, drive
from tests.unit.strangler.feeds import Bench, policy_of


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
