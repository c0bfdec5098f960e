"""What is known of a slice's gates, read from the control database."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from journeymesh.journeys.policies import Policy
from journeymesh.strangler.control import Control, now_us
from journeymesh.strangler.control_tables import (
    accepted_writes,
    asks,
    backfills,
    mismatches,
    shadow_counts,
    shadow_coverage,
)
from journeymesh.strangler.feeds import feed_of, lag_of
from journeymesh.strangler.gates import Readings
from journeymesh.strangler.routes import Route, routes_in

COMPARED = ("equal", "explained", "differing")
"""Outcomes of shadow reads that both sides answered."""


def read_slice(control: Control, route: Route, policies: Sequence[Policy]) -> Readings:
    """Everything that gates ask about, at one instant. ``policies`` are all policies there are."""
    name, now = route.slice.name, now_us()
    lag = lag_of(feed_of(control, route.upstream, route.target), now)
    with control.reading() as connection:
        present = routes_in(connection).get(name) or route
        compared = sa.select(sa.func.sum(shadow_counts.c.reads)).where(
            shadow_counts.c.slice == name, shadow_counts.c.outcome.in_(COMPARED)
        )
        backfill = sa.select(backfills.c.state).where(backfills.c.slice == name, backfills.c.target == present.target)
        waiting = sa.select(sa.func.count()).where(
            accepted_writes.c.slice == name, accepted_writes.c.delivered_us.is_(None)
        )
        return Readings(
            complete=present.complete,
            incomplete_because=present.detail,
            backfill=connection.execute(backfill).scalar(),
            lag_s=lag.seconds,
            lag_state=lag.state.value,
            open_mismatches=open_mismatches(connection, name, now),
            shadow_coverage=_coverage(connection, present, policies),
            shadow_reads=int(connection.execute(compared).scalar() or 0),
            quiet_s=_quiet_s(connection, present, now),
            writes_waiting=connection.execute(waiting).scalar_one(),
        )


def open_mismatches(connection: sa.Connection, name: str, at_us: int) -> int:
    """Mismatches of the slice that nobody accepted, or whose acceptance ran out."""
    is_open = sa.or_(
        mismatches.c.state == "open",
        sa.and_(mismatches.c.state == "accepted", mismatches.c.expires_us <= at_us),
    )
    return connection.execute(sa.select(sa.func.count()).where(mismatches.c.slice == name, is_open)).scalar_one()


def _coverage(connection: sa.Connection, route: Route, policies: Sequence[Policy]) -> float:
    members = {policy.number for policy in policies if route.slice.selector.holds(policy)}
    if not members:
        return 1.0
    rows = connection.execute(
        sa.select(shadow_coverage.c.policy).where(shadow_coverage.c.slice == route.slice.name)
    ).scalars()
    return len(members.intersection(rows)) / len(members)


def _quiet_s(connection: sa.Connection, route: Route, at_us: int) -> float:
    """How long the source has not answered for the slice; counted from the phase's begin at the earliest."""
    last = connection.execute(
        sa.select(sa.func.max(asks.c.last_us)).where(asks.c.slice == route.slice.name, asks.c.side == route.source)
    ).scalar()
    return (at_us - max(route.since_us, last or 0)) / 1e6
