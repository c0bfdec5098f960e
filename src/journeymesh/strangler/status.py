"""How far the move is: one value that the command line, JSON and metrics show.

What a slice's gates are checked against, read from the control database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec
import sqlalchemy as sa

from journeymesh.field_copies import copy_fields
from journeymesh.journeys.policies import Policy
from journeymesh.sources.policy_reading import UnusablePolicy
from journeymesh.sources.vehicle_port import OtherClients
from journeymesh.strangler.backfill import COMPLETE, BackfillState, backfill_of
from journeymesh.strangler.control import Control, accepted_writes, history, now_us, pending_moves
from journeymesh.strangler.counts import COMPARED, coverage_of, last_answered_us, reads_of
from journeymesh.strangler.feeds import Feed, Lag, LagState, all_feeds, feed_of, lag_of
from journeymesh.strangler.foreign_runs import open_runs
from journeymesh.strangler.gates import GateInputs, closed_gates
from journeymesh.strangler.mismatches import open_mismatches
from journeymesh.strangler.opinion import NAIVE, TOTALS, RecordedOpinion, opinions_of
from journeymesh.strangler.plan import LEGACY, Plan
from journeymesh.strangler.policy_book import PoliciesRead, members_of
from journeymesh.strangler.refusals import Refusals, refusals_of
from journeymesh.strangler.routes import Route, read_routes
from journeymesh.strangler.slices import Phase, following, needs_gates


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


UNUSABLE_NAMED: Final = 5
"""So many policies that cannot be used are named."""


class BackfillStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a target is filled. ``eta_s`` None: unknown."""

    state: str
    vehicles: int
    vehicles_done: int
    fixes: int
    fixes_per_s: float
    throttled_s: float
    eta_s: float | None


class UnusablePolicies(msgspec.Struct, frozen=True, kw_only=True):
    """Legacy's policies that cannot be used, which are in no slice: how many, and up to ``UNUSABLE_NAMED`` of them."""

    count: int
    first: tuple[UnusablePolicy, ...]


class SliceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One slice: where it is, what the plan wants, and what keeps it from the next phase.

    ``answering`` is the side that answers now: ``legacy``, or a store's name. ``lag_s`` None: unknown. ``policies`` and
    ``shadow_coverage`` None: legacy, which has the slice's policies, cannot be read. ``refusals`` None: none
    are recorded. ``unusable_policies`` are legacy's, and the same for every slice; None: they are not known.
    ``foreign_runs`` are the ids of runs that somebody else wrote to the target, and that no comparison has met yet;
    None: nobody has looked.
    ``other_clients`` are those of legacy where the next step leaves it for good; None: it does not, or nobody asked.
    """

    slice: str
    phase: str
    planned: str | None
    since_s: float
    answering: str
    source: str
    target: str
    upstream: str
    policies: int | None
    unusable_policies: UnusablePolicies | None
    complete: bool
    detail: str | None
    lag_state: str
    lag_s: float | None
    backfill: BackfillStatus | None
    shadow_reads: dict[str, int]
    shadow_coverage: float | None
    open_mismatches: int
    refusals: Refusals | None
    foreign_runs: tuple[str, ...] | None
    other_clients: OtherClients | None
    writes_waiting: int
    third_opinions: tuple[RecordedOpinion, ...]
    next: str | None
    closed_gates: tuple[str, ...]


def with_other_clients(found: Sequence[SliceStatus], clients: OtherClients | None) -> list[SliceStatus]:
    """The same, with these clients of legacy where a slice's next step leaves it for good."""
    return [
        msgspec.structs.replace(each, other_clients=clients)
        if each.next == Phase.RETIRED.value and each.upstream == LEGACY
        else each
        for each in found
    ]


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One feed: what it is doing and how far its target is behind. ``lag_s`` None: unknown."""

    upstream: str
    target: str
    state: str
    lag_s: float | None
    events: int
    owner: str | None
    fault: str | None


class HistoryItem(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the history: who moved what, when and why, and what came of it."""

    entry: int
    at_us: int
    who: str
    why: str
    slice: str
    before: str | None
    after: str | None
    outcome: str
    detail: str | None


def status_of(
    plan: Plan, control: Control, policies: Sequence[Policy], unreadable: Mapping[str, str] | None = None
) -> list[SliceStatus]:
    """The status of every recorded slice, by name. ``unreadable``: why stores cannot be read, as ``check_targets``
    tells it."""
    return [_status(plan, control, route, policies, unreadable) for route in read_routes(control).routes]


def feeds_status(control: Control) -> list[FeedStatus]:
    """The status of every feed ever started; of one that no route asks for any more, that it ended."""
    at_us = now_us()
    wanted = {pair for route in read_routes(control).routes for pair in route.feeds}
    found = []
    for feed in all_feeds(control):
        is_wanted = (feed.upstream, feed.target) in wanted
        lag = lag_of(feed, at_us) if is_wanted else Lag(LagState.ENDED, None)
        fault = feed.fault if is_wanted else None
        found.append(copy_fields(FeedStatus, feed, state=lag.state.value, lag_s=lag.seconds, fault=fault))
    return found


def history_of(control: Control, slice_name: str | None = None, limit: int = 100) -> list[HistoryItem]:
    """The last entries of the history, newest first."""
    query = sa.select(history).order_by(history.c.entry.desc()).limit(limit)
    if slice_name is not None:
        query = query.where(history.c.slice == slice_name)
    with control.reading() as connection:
        return [HistoryItem(**row._mapping) for row in connection.execute(query)]


def unfinished(control: Control) -> list[str]:
    """Slices whose retiring a crash left unfinished."""
    with control.reading() as connection:
        return list(connection.execute(sa.select(pending_moves.c.slice).order_by(pending_moves.c.slice)).scalars())


def _status(
    plan: Plan, control: Control, route: Route, policies: Sequence[Policy], unreadable: Mapping[str, str] | None
) -> SliceStatus:
    name, now = route.slice.name, now_us()
    inputs = read_gate_inputs(control, route, policies, unreadable)
    are_known = not isinstance(policies, PoliciesRead) or route.answering_name not in policies.unread
    if not are_known:
        inputs = replace(inputs, shadow_coverage=None)
    backfill = backfill_of(control, name, route.target)
    upcoming = following(route.phase)
    recorded = opinions_of(control, route)
    return copy_fields(
        SliceStatus,
        route,
        slice=name,
        phase=route.phase.value,
        planned=next((each.phase.value for each in plan.slices if each.name == name), None),
        since_s=(now - route.since_us) / 1e6,
        answering=route.answering_name,
        policies=len(members_of(route.slice.selector, policies)) if are_known else None,
        unusable_policies=_unusable(policies),
        lag_state=inputs.lag_state,
        lag_s=inputs.lag_s,
        backfill=None if backfill is None else _backfill(backfill),
        shadow_reads=reads_of(control, name),
        shadow_coverage=inputs.shadow_coverage,
        open_mismatches=inputs.open_mismatches or 0,
        refusals=inputs.refusals,
        foreign_runs=None if inputs.foreign_runs is None else tuple(inputs.foreign_runs),
        other_clients=None,
        writes_waiting=inputs.writes_waiting or 0,
        third_opinions=tuple(found for kind in (TOTALS, NAIVE) if (found := recorded.get(kind)) is not None),
        next=upcoming.value if upcoming else None,
        closed_gates=tuple(_closed(plan, route, upcoming, inputs)),
    )


def _unusable(policies: Sequence[Policy]) -> UnusablePolicies | None:
    found = policies.unusable if isinstance(policies, PoliciesRead) else None
    return None if found is None else UnusablePolicies(count=len(found), first=tuple(found[:UNUSABLE_NAMED]))


def _closed(plan: Plan, route: Route, upcoming: Phase | None, inputs: GateInputs) -> list[str]:
    if upcoming is None or not needs_gates(route.phase, upcoming):
        return []
    return closed_gates(upcoming, plan.gates, inputs)


def _backfill(row: BackfillState) -> BackfillStatus:
    left = None
    if row.state == COMPLETE:
        left = 0.0
    elif row.vehicles_done and row.active_s > 0:
        left = (row.vehicles - row.vehicles_done) * row.active_s / row.vehicles_done
    return copy_fields(BackfillStatus, row, fixes_per_s=row.fixes_per_s or 0.0, eta_s=left)
