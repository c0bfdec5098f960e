"""What every store promises of whoever may write to it, and of its record of runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from journeymesh.stores.port import Store, StoreBatch
from journeymesh.stores.writers import WriterOvertaken
from tests.support.records import DAY, NOON, full_batch, journey, journeys, policy, run


class WriterSuite:
    """Inherited by the suite of stores."""

    def test_a_writer_is_refused_whole_once_a_later_one_of_its_name_has_written(self, store: Store) -> None:
        former = run("feed:legacy", started_at=NOON, finished_at=None, counts={})
        later = replace(former, started_at=NOON + timedelta(microseconds=1))
        store.write(full_batch(under=former))
        store.write(StoreBatch(journeys=journeys(journey("car-3")), under=former))
        store.write(StoreBatch(under=later))
        before = store.digest(), store.runs(), store.changes(None)
        with pytest.raises(WriterOvertaken, match="feed:legacy was taken over"):
            store.write(full_batch(journeys=journeys(journey("car-4")), policies=[policy("P-4")], under=former))
        assert (store.digest(), store.runs(), store.changes(None)) == before
        assert before[1] == [run(), later]
        store.write(StoreBatch(journeys=journeys(journey("car-4")), under=later))
        assert set(store.vehicles(["car-3", "car-4"])) == {"car-3", "car-4"}

    def test_writers_of_different_names_do_not_overtake_each_other(self, store: Store) -> None:
        store.write(StoreBatch(under=run("feed:legacy", started_at=NOON + DAY)))
        store.write(StoreBatch(journeys=journeys(journey()), under=run("feed:other", started_at=NOON)))
        assert set(store.vehicles(["car-1"])) == {"car-1"}

    def test_a_writer_is_refused_whole_where_what_it_wrote_last_does_not_stand(self, store: Store) -> None:
        first = run("feed:legacy", started_at=NOON, finished_at=None, counts={"feed_writes": 1})
        second, third = replace(first, counts={"feed_writes": 2}), replace(first, counts={"feed_writes": 3})
        with pytest.raises(WriterOvertaken, match="another store, or an older copy"):
            store.write(full_batch(under=second, under_after=first))
        store.write(full_batch(under=first))
        store.write(StoreBatch(under=second, under_after=first))
        before = store.digest(), store.runs(), store.changes(None)
        assert second in before[1]
        for missing in (first, third):
            with pytest.raises(WriterOvertaken, match="another store, or an older copy"):
                store.write(StoreBatch(journeys=journeys(journey("car-4")), under=third, under_after=missing))
        assert (store.digest(), store.runs(), store.changes(None)) == before
        store.write(StoreBatch(journeys=journeys(journey("car-4")), under=third, under_after=second))
        assert third in store.runs()

    def test_runs_are_asked_for_by_id_and_by_what_may_have_changed(self, store: Store) -> None:
        assert (store.run_count(), store.run("run-1"), store.runs(NOON)) == (0, None, [])
        at = (NOON - DAY, NOON, NOON + DAY)
        early = run("run-1", started_at=at[0] - DAY, finished_at=at[0])
        over_noon = run("run-2", started_at=at[0], finished_at=at[2])
        unfinished = run("run-3", started_at=at[0], finished_at=None)
        late = run("run-4", started_at=at[1], finished_at=at[1])
        for each in (late, unfinished, over_noon, early):
            store.write(StoreBatch(run=each))
        assert store.runs(NOON) == [over_noon, unfinished, late]
        assert store.runs(at[2]) == [over_noon, unfinished]
        assert (store.run_count(), store.run("run-3"), store.run("run-5")) == (4, unfinished, None)
        done = run("run-3", started_at=at[0], finished_at=at[0])
        store.write(StoreBatch(run=done))
        assert (store.run_count(), store.run("run-3"), store.runs(NOON)) == (4, done, [over_noon, late])
