"""What a slice's gates are checked against, read from the control database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from journeymesh.journeys.policies import Policy
from journeymesh.strangler.answer_counts import last_answered_us
from journeymesh.strangler.backfill import BackfillState, backfill_of
from journeymesh.strangler.control import Control, now_us
from journeymesh.strangler.control_tables import accepted_writes
from journeymesh.strangler.coverage import COMPARED, coverage_of, reads_of
from journeymesh.strangler.feeds import Feed, feed_of, lag_of
from journeymesh.strangler.foreign_runs import open_runs
from journeymesh.strangler.gates import GateInputs
from journeymesh.strangler.members import members_of
from journeymesh.strangler.mismatches import open_mismatches
from journeymesh.strangler.opinions import TOTALS, opinions_of
from journeymesh.strangler.plan import LEGACY
from journeymesh.strangler.refusals import refusals_of
from journeymesh.strangler.routes import Route, read_routes


def read_gate_inputs(
    control: Control, route: Route, policies: Sequence[Policy], unreadable: Mapping[str, str] | None = None
) -> GateInputs:
    """Everything that gates ask about. ``policies`` are all policies there are; ``unreadable`` says of stores by name
    why they cannot be read."""
    name = route.slice.name
    present = read_routes(control).get(name) or route
    reads = reads_of(control, name)
    feed = feed_of(control, present.upstream, present.target)
    lag = lag_of(feed, now_us())
    coverage = coverage_of(control, name, [member.name for member in members_of(present.slice.selector, policies)])
    state = backfill_of(control, name, present.target)
    return GateInputs(
        unreadable=(unreadable or {}).get(present.target),
        complete=present.complete,
        incomplete_because=present.detail,
        backfill=None if state is None else state.state,
        lag_s=lag.seconds,
        lag_state=lag.state.value,
        refusals=refusals_of(control, name, present.target),
        open_mismatches=open_mismatches(control, name),
        shadow_coverage=coverage.share or 0.0,
        shadow_reads=sum(reads[outcome.value] for outcome in COMPARED),
        quiet_s=_quiet_s(control, present),
        writes_waiting=_writes_waiting(control, name),
        third_opinion=opinions_of(control, present).get(TOTALS),
        foreign_runs=open_runs(control, name, present.target),
        filled_with=_filled_with(present, state, feed),
    )


def _filled_with(route: Route, state: BackfillState | None, feed: Feed | None) -> int | None:
    if route.upstream != LEGACY or state is None:
        return None
    return state.fixes + (0 if feed is None else feed.events)


def _quiet_s(control: Control, route: Route) -> float:
    """How long the source has not answered for the slice; counted from the phase's begin at the earliest."""
    last = last_answered_us(control, route.slice.name, route.source)
    return (now_us() - max(route.since_us, last or 0)) / 1e6


def _writes_waiting(control: Control, name: str) -> int:
    waiting = sa.select(sa.func.count()).where(
        accepted_writes.c.slice == name, accepted_writes.c.delivered_us.is_(None)
    )
    with control.reading() as connection:
        return int(connection.execute(waiting).scalar_one())
