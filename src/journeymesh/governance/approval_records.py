"""Approvals in a SQL database: what was requested, and each step with who, when and why. Nothing is overwritten."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from journeymesh.databases.database import SqlDatabase
from journeymesh.errors import NotFound, UsageError
from journeymesh.field_copies import copy_fields
from journeymesh.governance.approval_tables import requests, steps
from journeymesh.governance.approvals import (
    Approval,
    ApprovalAction,
    Person,
    RequestInvalid,
    Who,
    Wish,
    requested,
    stepped,
)
from journeymesh.governance.contract import Contracts
from journeymesh.instants import from_us, to_us
from journeymesh.wire.identity import State

MOST_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class StepTaken:
    """One step of an approval's history. ``number`` 0: it was requested. ``state`` is what it led to."""

    number: int
    state: State
    who: Who
    at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Change:
    """A step as a follower sees it: ``entry`` grows from change to change, over all approvals."""

    entry: int
    approval: Approval


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalQuery:
    """Which approvals; at most ``limit`` (1,000), and more with ``after`` the last one. None: any.

    ``state`` is the state now, by the clock.
    """

    tenant: str | None = None
    product: str | None = None
    purpose: str | None = None
    domain: str | None = None
    state: State | None = None
    after: Approval | None = None
    limit: int = 100


def now_utc() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


class ApprovalRecords:
    """The approvals in one database. Safe for several threads and processes; of two steps at once one is first."""

    def __init__(self, database: SqlDatabase, contracts: Contracts, *, clock: Callable[[], datetime] = now_utc) -> None:
        self._database, self._contracts, self._clock = database, contracts, clock

    def request(self, wish: Wish, person: Person) -> Approval:
        """Record that somebody asks for an approval.

        Raises:
            RequestInvalid, StepNotTheirs: as ``approvals.requested`` says.
            StoreUnavailable: the database cannot be written.
        """
        contract = self._contracts.of(wish.product)
        if contract is None:
            raise RequestInvalid(f"product {wish.product!r} has no contract", todo="name a product that has one")
        approval = requested(wish, secrets.token_hex(12), person, contract, self._now())
        with self._database.writing() as connection:
            connection.execute(sa.insert(requests).values(_request_row(approval)))
            _add_step(connection, approval, person, approval.requested_at, approval.reason)
        return approval

    def step(self, approval_id: str, step: ApprovalAction, person: Person, why: str = "") -> Approval:
        """Take a step: approve, reject, acknowledge or revoke.

        Raises:
            NotFound: there is no such approval, or it is another tenant's.
            StepNotTheirs, StepNotPossible, RequestInvalid: as ``approvals.stepped`` says.
            StoreUnavailable: the database cannot be written.
        """
        with self._database.writing() as connection:
            now = self._now()
            before = _find(connection, approval_id)
            if before is None or before.tenant != person.tenant:
                raise NotFound(f"there is no approval {approval_id}", todo="list them: GET /v1/approvals")
            after = stepped(before, step, person, why, self._contracts.of(before.product), now)
            _add_step(connection, after, person, now, why)
        return after

    def find(self, approval_id: str, *, tenant: str | None = None) -> Approval | None:
        """The approval as it is recorded now, of this tenant or (None) of any; None: there is none.

        Raises:
            StoreUnavailable: the database cannot be read.
        """
        with self._database.reading() as connection:
            found = _find(connection, approval_id)
        return None if found is None or tenant not in (None, found.tenant) else found

    def history(self, approval_id: str) -> list[StepTaken]:
        """Every step, the request first; empty: there is no such approval.

        Raises:
            StoreUnavailable: the database cannot be read.
        """
        asked = sa.select(steps).where(steps.c.approval == approval_id).order_by(steps.c.number)
        with self._database.reading() as connection:
            return [
                StepTaken(
                    row.number,
                    State(row.state),
                    Who(row.provider, row.subject, row.person),
                    from_us(row.at_us),
                    row.why,
                )
                for row in connection.execute(asked)
            ]

    def query(self, query: ApprovalQuery | None = None) -> list[Approval]:
        """The approvals that the query names (None: the first of all), newest request first.

        Raises:
            UsageError: the limit is none. StoreUnavailable: the database cannot be read.
        """
        query = query or ApprovalQuery()
        if not 1 <= query.limit <= MOST_AT_ONCE:
            raise UsageError(f"a limit of {query.limit} approvals", todo=f"ask for 1 to {MOST_AT_ONCE}")
        last = _last_steps()
        statement = _with_step(last)
        for name in ("tenant", "product", "purpose", "domain"):
            if (value := getattr(query, name)) is not None:
                statement = statement.where(requests.c[name] == value)
        if query.state is not None:
            statement = statement.where(_is_in(query.state, last, to_us(self._now())))
        if (after := query.after) is not None:
            place = sa.tuple_(requests.c.requested_us, requests.c.id)
            statement = statement.where(place < sa.tuple_(sa.literal(to_us(after.requested_at)), sa.literal(after.id)))
        statement = statement.order_by(requests.c.requested_us.desc(), requests.c.id.desc()).limit(query.limit)
        with self._database.reading() as connection:
            return list(_with_deciders(connection, connection.execute(statement)))

    def changes(self, since: int, limit: int = MOST_AT_ONCE) -> list[Change]:
        """Steps from entry ``since`` on, that one included, in order, each with its approval after it.

        Without who decided, which a follower has no use for.

        Raises:
            StoreUnavailable: the database cannot be read.
        """
        asked = _with_step(steps).where(steps.c.entry >= since).order_by(steps.c.entry).limit(limit)
        with self._database.reading() as connection:
            return [Change(row.entry, _approval(row, None)) for row in connection.execute(asked)]

    def _now(self) -> datetime:
        return self._clock().astimezone(UTC)


def _is_in(state: State, last: Any, now_us: int) -> sa.ColumnElement[bool]:
    """Whether ``Approval.state_at`` says so, in SQL."""
    recorded = last.c.state
    if state in (State.REJECTED, State.REVOKED):
        return sa.and_(recorded == state.value)
    if state is State.EXPIRED:
        closed = [State.REJECTED.value, State.REVOKED.value]
        return sa.and_(recorded.not_in(closed), requests.c.valid_to_us <= now_us)
    is_open = requests.c.valid_to_us > now_us
    if state is State.ACTIVE:
        return sa.and_(is_open, recorded == State.ACKNOWLEDGED.value, requests.c.valid_from_us <= now_us)
    if state is State.ACKNOWLEDGED:
        return sa.and_(is_open, recorded == state.value, requests.c.valid_from_us > now_us)
    return sa.and_(is_open, recorded == state.value)


def _last_steps() -> Any:
    """Of every approval its last step."""
    later = steps.alias("later")
    newest = sa.select(sa.func.max(later.c.number)).where(later.c.approval == steps.c.approval).scalar_subquery()
    return sa.select(steps).where(steps.c.number == newest).subquery("last")


def _with_step(step: Any) -> sa.Select[Any]:
    """Requests, each with a step of it."""
    taken = (step.c.entry, step.c.number, step.c.state)
    return sa.select(*requests.columns, *taken).select_from(requests.join(step, step.c.approval == requests.c.id))


def _find(connection: sa.Connection, approval_id: str) -> Approval | None:
    asked = _with_step(steps).where(requests.c.id == approval_id).order_by(steps.c.number.desc()).limit(1)
    return next(_with_deciders(connection, connection.execute(asked)), None)


def _with_deciders(connection: sa.Connection, rows: Iterable[Any]) -> Iterator[Approval]:
    """The rows as approvals, with who approved or rejected them."""
    held = list(rows)
    decided = sa.select(steps.c.approval, steps.c.state, steps.c.provider, steps.c.subject, steps.c.person).where(
        steps.c.approval.in_([row.id for row in held]),
        steps.c.state.in_([State.ONCE_APPROVED.value, State.APPROVED.value, State.REJECTED.value]),
    )
    first: dict[str, Who] = {}
    deciders: dict[str, Who] = {}
    for row in connection.execute(decided) if held else ():
        of = first if row.state == State.ONCE_APPROVED.value else deciders
        of[row.approval] = Who(row.provider, row.subject, row.person)
    for row in held:
        yield _approval(row, deciders.get(row.id), first.get(row.id))


def _approval(row: Any, decided_by: Who | None, once_approved_by: Who | None = None) -> Approval:
    return copy_fields(
        Approval,
        row,
        requested_by=Who(row.provider, row.subject, row.person),
        requested_at=from_us(row.requested_us),
        valid_from=from_us(row.valid_from_us),
        valid_to=from_us(row.valid_to_us),
        recorded=State(row.state),
        decided_by=decided_by,
        once_approved_by=once_approved_by,
        steps=row.number,
    )


def _request_row(approval: Approval) -> dict[str, Any]:
    same = ("id", "product", "product_major", "purpose", "tenant", "domain", "reason")
    return {
        **{name: getattr(approval, name) for name in same},
        **asdict(approval.requested_by),
        "requested_us": to_us(approval.requested_at),
        "valid_from_us": to_us(approval.valid_from),
        "valid_to_us": to_us(approval.valid_to),
    }


def _add_step(connection: sa.Connection, approval: Approval, person: Person, at: datetime, why: str) -> None:
    connection.execute(
        sa.insert(steps).values(
            approval=approval.id,
            number=approval.steps,
            state=approval.recorded.value,
            provider=person.provider,
            subject=person.subject,
            person=person.person,
            at_us=to_us(at),
            why=why,
        )
    )
