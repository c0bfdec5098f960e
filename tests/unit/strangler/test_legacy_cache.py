"""Answers out of legacy are kept while the stream of changes says that they hold, and not a moment longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

from journeymesh.errors import SourceUnreadable
from journeymesh.journeys.answers import answer_bytes
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler import legacy_cache
from journeymesh.strangler.legacy_cache import AnswerCache, ChangeWatcher
from journeymesh.strangler.legacy_side import LegacySide
from journeymesh.strangler.policy_book import PolicyBook
from tests.support.builders import NOON, drive
from tests.support.doors import RENEWED, several
from tests.support.legacy_double import MemoryLegacy

ROWS = pa.table({"n": list(range(100))})
P2 = JourneyQuery(policy="P2")


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> AnswerCache:
    monkeypatch.setattr(legacy_cache, "HEARD_WITHIN_S", 60.0)
    made = AnswerCache()
    made.heard()
    return made


def _asked(cache: AnswerCache, question: str = "q", vehicle: str = "V0") -> bool:
    """Whether the answer had to be computed."""
    computed = []
    cache.answer(question, (vehicle,), lambda: computed.append(1) or ROWS)  # type: ignore[func-returns-value]
    return bool(computed)


def test_an_answer_is_computed_once_until_its_vehicle_changes(cache: AnswerCache) -> None:
    assert [_asked(cache), _asked(cache)] == [True, False]
    cache.touch(["V9"])
    assert not _asked(cache)
    cache.touch(["V0"])
    assert [_asked(cache), _asked(cache)] == [True, False]
    cache.touch_all()
    assert _asked(cache)


def test_nothing_is_kept_that_was_being_computed_while_it_changed(cache: AnswerCache) -> None:
    for change in (lambda: cache.touch(["V0"]), cache.touch_all):
        cache.answer("q", ("V0",), lambda change=change: change() or ROWS)  # type: ignore[misc]
        assert cache.nbytes == 0


def test_a_stream_that_is_not_heard_turns_it_off(cache: AnswerCache, monkeypatch: pytest.MonkeyPatch) -> None:
    _asked(cache)
    monkeypatch.setattr(legacy_cache, "HEARD_WITHIN_S", -1.0)
    assert [_asked(cache), _asked(cache)] == [True, True]
    assert not AnswerCache().is_on


def test_it_holds_no_more_bytes_than_it_may(cache: AnswerCache) -> None:
    cache = AnswerCache(3 * ROWS.nbytes)
    cache.heard()
    for number in range(10):
        _asked(cache, f"q{number}")
        assert cache.nbytes <= cache.most_bytes
    assert not _asked(cache, "q9")
    assert _asked(cache, "q0")


@pytest.fixture
def legacy() -> Iterator[MemoryLegacy]:
    source = MemoryLegacy(held_policies=list(RENEWED))
    source.put(several(2, every_s=10.0))
    yield source
    source.broken = None


def test_changes_are_seen_by_the_next_question_after_the_stream_told_them(
    legacy: MemoryLegacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legacy_cache, "HEARD_WITHIN_S", 60.0)
    cache = AnswerCache()
    side = LegacySide(source=legacy, rules=ALWAYS_ON, policy_book=PolicyBook(legacy.policies), cache=cache)
    with ChangeWatcher(legacy, cache):
        _until(lambda: cache.is_on)
        before = side.journeys(P2)
        assert answer_bytes(side.journeys(P2)) == answer_bytes(before)
        assert cache.hits == 1
        legacy.put(drive((12.0, 300), start=NOON.replace(hour=20), vehicle="V0", every_s=10.0))
        _until(lambda: len(side.journeys(P2)) == len(before) + 1)
        legacy.drop()
        _until(lambda: len(side.journeys(P2)) == 0)


def test_a_source_that_cannot_be_followed_is_never_cached(legacy: MemoryLegacy) -> None:
    cache = AnswerCache()
    legacy.broken = SourceUnreadable("no stream", todo="none")
    with ChangeWatcher(legacy, cache) as watcher:
        _until(lambda: watcher.fault is not None)
        assert not cache.is_on
        assert [_asked(cache), _asked(cache)] == [True, True]
