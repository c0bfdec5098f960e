"""What the status says of feeds, and what an answer costs that cannot be counted."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from journeymesh.strangler.control import Control
from journeymesh.strangler.counts import AnswerCounts
from journeymesh.strangler.feeds import LEASE_S, FeedLease, LagState
from journeymesh.strangler.slices import Phase
from journeymesh.strangler.status import feeds_status, status_of
from tests.support.doors import a_control, put_routes, route
from tests.support.plans import plan_of


def test_a_feed_that_no_route_asks_for_has_ended_whatever_became_of_its_feeder(tmp_path: Path) -> None:
    control = a_control(tmp_path, route(phase=Phase.SHADOW))
    lease = FeedLease(control, "legacy", "embedded")
    lease.take()
    lease.fail("the disk is full")
    (feed,) = feeds_status(control)
    assert (feed.state, feed.fault) == (LagState.FAILED, "the disk is full")
    put_routes(control, route(phase=Phase.LEGACY, complete=False))
    (feed,) = feeds_status(control)
    assert (feed.state, feed.lag_s, feed.fault) == (LagState.ENDED, None, None)


def test_an_answer_does_not_fail_because_it_could_not_be_counted(tmp_path: Path) -> None:
    control = a_control(tmp_path)
    with AnswerCounts(control, every_s=LEASE_S) as answer_counts:
        answer_counts.count("all", "legacy")
        holder = sqlite3.connect(tmp_path / "control.db")
        holder.execute("DROP TABLE strangler_asks")
        holder.close()
    assert answer_counts.fault is not None
    answer_counts.control = Control(f"sqlite:///{tmp_path}/another.db")
    answer_counts.control.migrate()
    answer_counts.flush()
    with answer_counts.control.reading() as connection:
        assert connection.exec_driver_sql("SELECT reads FROM strangler_asks").scalar() == 1


def test_a_slice_without_policies_was_not_compared(tmp_path: Path) -> None:
    control = a_control(tmp_path, route(phase=Phase.SHADOW))
    (of_none,) = status_of(plan_of(), control, [])
    assert of_none.shadow_coverage == 0
    assert any("cover 0.0 % of the policies" in gate for gate in of_none.closed_gates)
