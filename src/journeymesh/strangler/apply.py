"""Bring the recorded routes to the plan, one slice at a time, each in one transaction.

A crash at any point leaves every slice either where it was or where the plan wants it. Retiring takes several steps;
what a crash left of them is in ``strangler_pending_moves`` and is completed, or undone while nothing was deleted, by
the next ``apply`` (retire.py).
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from journeymesh.errors import JourneymeshError, StoreUnavailable, UsageError
from journeymesh.journeys.policies import Policy
from journeymesh.processes import Process, has_ended
from journeymesh.strangler.control import (
    Control,
    backfills,
    bump,
    foreign_runs,
    mismatches,
    now_us,
    operators,
    opinions,
    routes,
    shadow_counts,
    shadow_coverage,
)
from journeymesh.strangler.gates import GateInputs, closed_gates
from journeymesh.strangler.moves import Move, MoveKind, moves_of
from journeymesh.strangler.ownership import check_owner, claim
from journeymesh.strangler.plan import Plan
from journeymesh.strangler.routes import Route, RouteChange, Routes, note, read_routes, record
from journeymesh.strangler.slices import Phase
from journeymesh.strangler.tracing import span

LOCK_S: Final = 900
_APPLY: Final = "apply"


class OperatorBusy(JourneymeshError):
    """Somebody else is applying a plan."""

    exit_code = 8


@dataclass(frozen=True, slots=True)
class MoveOutcome:
    """What came of one move. ``closed`` are the gates that refused it; empty: it was made."""

    slice: str
    kind: MoveKind
    before: Phase | None
    after: Phase | None
    closed: tuple[str, ...] = ()

    @property
    def moved(self) -> bool:
        """Whether the route was changed."""
        return not self.closed


def operator() -> str:
    """Who is asking: ``user@host``; in a cluster the workload's name."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applying:
    """Applies plans to one control database.

    - ``gate_inputs``: what is known about a slice when its gates are checked
    - ``prepare``: makes a target ready to be filled (schema, rules); raises where it cannot be
    - ``retire``: does the steps of retiring; ``resume`` goes on with what a crash left of them
    """

    control: Control
    plan: Plan
    policies: Callable[[], Sequence[Policy]]
    gate_inputs: Callable[[Route], GateInputs]
    prepare: Callable[[Route], None]
    retire: Callable[[Route, str, str], None]
    resume: Callable[[], object] = lambda: None
    who: str = field(default_factory=operator)

    def planned(self) -> list[Move]:
        """The moves that ``apply`` would make now. What only goes back needs no store that answers.

        Raises:
            PlanInvalid: the plan cannot be followed from here, or the control database is another plan's.
            StoreUnavailable: a store that answers cannot be read, and something is to go on.
        """
        check_owner(self.control, self.plan)
        recorded = read_routes(self.control)
        try:
            return moves_of(self.plan, recorded, self.policies(), now_us())
        except StoreUnavailable:
            moves = moves_of(self.plan, recorded, None, now_us())
            if moves and all(move.goes_back for move in moves):
                return moves
            raise

    def dry_run(self) -> list[MoveOutcome]:
        """What ``apply`` would do now: every move with the gates that are closed. Nothing is changed."""
        return [_outcome(move, self._closed(move)) for move in self.planned()]

    def apply(self, why: str) -> list[MoveOutcome]:
        """Make every move whose gates are open; the others are refused, and both are in the history.

        Raises:
            PlanInvalid: the plan cannot be followed from here, or the control database is another plan's; nothing was
                moved.
            OperatorBusy: somebody else is applying.
            UsageError: no reason is given.
        """
        if not why.strip():
            raise UsageError("a reason is missing", todo="give one with --why TEXT; it is kept in the history")
        with operator_lock(self.control, self.who):
            claim(self.control, self.plan)
            self.resume()
            return [self._traced(move, why) for move in self.planned()]

    def _traced(self, move: Move, why: str) -> MoveOutcome:
        after = "forgotten" if move.after is None else move.after.phase.value
        with span("move", slice=move.name, after=after) as current:
            outcome = self._make(move, why)
            current.set_attribute("journeymesh.moved", outcome.moved)
            return outcome

    def _make(self, move: Move, why: str) -> MoveOutcome:
        closed = self._closed(move)
        if closed:
            with self.control.writing() as connection:
                before, after = _phases(move)
                note(connection, move.name, RouteChange(self.who, why, "refused", before, after, "; ".join(closed)))
            return _outcome(move, closed)
        if move.after is None:
            with self.control.writing() as connection:
                _forget(connection, move.name)
                note(connection, move.name, RouteChange(self.who, why, "forgotten", *_phases(move)))
            return _outcome(move, [])
        if move.after.phase is Phase.RETIRED:
            self.retire(move.after, self.who, why)
            return _outcome(move, [])
        starts = move.after.phase is Phase.SHADOW and (move.before is None or move.before.phase is not move.after.phase)
        if move.kind is not MoveKind.STEP or (starts and not move.goes_back):
            self.prepare(move.after)
        self._record(move, why)
        return _outcome(move, [])

    def _record(self, move: Move, why: str) -> None:
        assert move.after is not None
        with self.control.writing() as connection:
            present = connection.execute(sa.select(routes).where(routes.c.slice == move.name)).first()
            after = move.after
            if move.before is not None and present is not None and move.kind is MoveKind.STEP:
                if present.phase != move.before.phase.value:  # the lock ran out meanwhile
                    raise OperatorBusy(f"slice {move.name!r} was moved by another operator", todo="apply again")
                if move.is_gated and not present.complete:
                    raise OperatorBusy(f"slice {move.name!r}: its target is no longer complete", todo="apply again")
            if not after.complete:
                _start_over(connection, move.name)
            record(connection, after, RouteChange(self.who, why, "moved", *_phases(move)))

    def _closed(self, move: Move) -> list[str]:
        if not move.is_gated or move.after is None or move.before is None:
            return []
        return closed_gates(move.after.phase, self.plan.gates, self.gate_inputs(move.before))


@contextmanager
def operator_lock(control: Control, who: str) -> Iterator[None]:
    """Hold the operators' lock; a crash gives it back after fifteen minutes.

    Raises:
        OperatorBusy: somebody else holds it.
    """
    holder = f"{who}{_OF}{Process.this()}"
    began = now_us()
    with control.writing() as connection:
        held = connection.execute(sa.select(operators).where(operators.c.name == _APPLY)).first()
        if held is not None and held.expires_us > began and not has_ended(held.holder.rpartition(_OF)[2]):
            raise OperatorBusy(
                f"{_label(held.holder)} has held the apply lock for {(began - held.since_us) / 1e6:.0f} s",
                todo="wait until it has finished",
            )
        connection.execute(sa.delete(operators).where(operators.c.name == _APPLY))
        connection.execute(
            sa.insert(operators).values(
                name=_APPLY, holder=holder, since_us=began, expires_us=began + LOCK_S * 1_000_000
            )
        )
    try:
        yield
    finally:
        with control.writing() as connection:
            connection.execute(sa.delete(operators).where(operators.c.name == _APPLY, operators.c.holder == holder))


_OF: Final = ", "
"""Between who holds the lock and the process that does."""


def _label(holder: str) -> str:
    who, _, text = holder.rpartition(_OF)
    process = Process.parse(text)
    return holder if process is None else f"{who} ({process.label})"


def _start_over(connection: sa.Connection, name: str) -> None:
    """What was known of a target that is filled anew counts no longer."""
    for table in (backfills, shadow_coverage, shadow_counts, opinions):
        connection.execute(sa.delete(table).where(table.c.slice == name))
    connection.execute(sa.delete(mismatches).where(mismatches.c.slice == name, mismatches.c.state == "open"))


def _forget(connection: sa.Connection, name: str) -> None:
    _start_over(connection, name)
    connection.execute(sa.delete(foreign_runs).where(foreign_runs.c.slice == name))
    connection.execute(sa.delete(routes).where(routes.c.slice == name))
    bump(connection)


def _phases(move: Move) -> tuple[Phase | None, Phase | None]:
    return (move.before.phase if move.before else None), (move.after.phase if move.after else None)


def _outcome(move: Move, closed: Sequence[str]) -> MoveOutcome:
    return MoveOutcome(move.name, move.kind, *_phases(move), tuple(closed))


def applied(recorded: Routes, plan: Plan) -> bool:
    """Whether every slice of the plan is recorded in its phase."""
    held = {route.slice.name: (route.source, route.target, route.phase) for route in recorded.routes}
    return all(held.get(each.name) == (each.source, each.target, each.phase) for each in plan.slices)
