"""The record of a feed: who runs it, how far it is, and what its lag is.

A feed that is idle, one that is stuck and one that never started look different, and a lag that is not known is
absent, never 0.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from journeymesh.errors import JourneymeshError
from journeymesh.field_copies import copy_fields
from journeymesh.processes import Process, has_ended
from journeymesh.strangler.control import Control, feeds, now_us, of_feed

if TYPE_CHECKING:
    from journeymesh.strangler.targets import Mark

LEASE_S: Final = 30.0
STUCK_S: Final = 30.0
"""A feeder that gave no sign of life for so long, and did not say that it stops, is stuck or gone."""
BEHIND_S: Final = 5.0
IDLE_S: Final = 10.0
_US: Final = 1_000_000


class FeedTaken(JourneymeshError):
    """Another feeder feeds this target."""

    exit_code = 8


@unique
class LagState(StrEnum):
    """What a feed is doing."""

    NEVER_STARTED = "never_started"
    RUNNING = "running"
    """Changes come and are dealt with."""
    IDLE = "idle"
    """The source has nothing more and said so lately."""
    BEHIND = "behind"
    """It works, and the last change it dealt with is old."""
    STOPPED = "stopped"
    """Its feeder ended as it was told to and gave the lease back: only the lag says how far it is."""
    STUCK = "stuck"
    """Nobody gave a sign of life lately, and nobody said that they stop."""
    FAILED = "failed"
    """It stopped with a fault and will try again."""
    ENDED = "ended"
    """No route asks for it any more."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed as recorded. Instants are microseconds since 1970 UTC; None: never."""

    upstream: str
    target: str
    owner: str | None = None
    started_us: int | None = None
    last_event_us: int | None = None
    last_empty_us: int | None = None
    beat_us: int | None = None
    events: int = 0
    revision: int | None = None
    fault: str | None = None

    @property
    def synced_until_us(self) -> int | None:
        """Until when everything was dealt with: the last event, or the last time that the source had nothing more."""
        return max((at for at in (self.last_event_us, self.last_empty_us) if at is not None), default=None)


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a target is behind. ``seconds`` None: nobody knows."""

    state: LagState
    seconds: float | None


def lag_of(feed: Feed | None, at_us: int) -> Lag:
    """How long ago everything was dealt with."""
    if feed is None or feed.started_us is None:
        return Lag(LagState.NEVER_STARTED, None)
    until_us = feed.synced_until_us
    seconds = None if until_us is None else max(at_us - until_us, 0) / _US
    if feed.fault is not None:
        return Lag(LagState.FAILED, seconds)
    if feed.owner is None:
        return Lag(LagState.STOPPED, seconds)
    if feed.beat_us is None or at_us - feed.beat_us > STUCK_S * _US:
        return Lag(LagState.STUCK, seconds)
    if seconds is None:
        return Lag(LagState.RUNNING, None)
    if seconds > BEHIND_S:
        return Lag(LagState.BEHIND, seconds)
    quiet = feed.last_event_us is None or at_us - feed.last_event_us > IDLE_S * _US
    return Lag(LagState.IDLE if quiet else LagState.RUNNING, seconds)


def feed_of(control: Control, upstream: str, target: str) -> Feed | None:
    """The feed as recorded; None: nobody ever started it."""
    with control.reading() as connection:
        row = connection.execute(sa.select(feeds).where(of_feed(feeds, upstream, target))).first()
    return None if row is None else copy_fields(Feed, row)


def all_feeds(control: Control) -> list[Feed]:
    """Every feed ever started, by name."""
    with control.reading() as connection:
        rows = connection.execute(sa.select(feeds).order_by(feeds.c.upstream, feeds.c.target)).all()
    return [copy_fields(Feed, row) for row in rows]


def this_owner() -> str:
    """A name for this process's feeder: the process, and random letters."""
    return f"{Process.this()}/{uuid.uuid4().hex[:8]}"


@dataclass(slots=True)
class FeedLease:
    """The right to feed a target, held by one feeder at a time; and the record that it keeps while it does.

    Raises (every method):
        FeedTaken: another feeder has it.
    """

    control: Control
    upstream: str
    target: str
    owner: str = field(default_factory=this_owner)
    revision: int | None = None
    """The routes' revision that the feeder acts on, and nothing earlier: goes with every sign of life."""
    taken_us: int = 0
    """When it was taken, and later than whoever had it before: what the target tells holders apart by."""
    _until_us: int = 0

    def take(self) -> None:
        """Take the lease: from nobody, from a process of this machine that ended, or when it ran out."""
        at_us = now_us()
        until_us = at_us + round(LEASE_S * _US)
        taken_us = at_us
        values: dict[str, Any] = {"owner": self.owner, "lease_until_us": until_us, "started_us": at_us}
        values |= {"beat_us": at_us, "revision": self.revision}
        with self.control.writing() as connection:
            row = connection.execute(sa.select(feeds).where(self._this)).first()
            if row is None:
                named = {"upstream": self.upstream, "target": self.target, "events": 0}
                connection.execute(sa.insert(feeds).values(values | named))
            else:
                holds = row.owner is not None and row.owner != self.owner and (row.lease_until_us or 0) > at_us
                if holds and not has_ended(_process_text(row.owner)):
                    raise self._taken(row.owner)
                values["started_us"] = taken_us = max(at_us, (row.started_us or 0) + 1)
                connection.execute(sa.update(feeds).where(self._this).values(values))
        self._until_us, self.taken_us = until_us, taken_us

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction of the control database in which the lease is still held: nobody takes it meanwhile."""
        with self.control.writing() as connection:
            mine = sa.and_(self._this, feeds.c.owner == self.owner)
            if connection.execute(sa.select(feeds.c.owner).where(mine)).first() is None:
                raise self._taken("another feeder")
            yield connection

    def check(self) -> None:
        """Make sure that the lease will hold for the next write; renews it when a third is gone."""
        if self._until_us - now_us() < LEASE_S * _US * 2 / 3:
            self.note()

    def note(
        self,
        *,
        last_event_us: int | None = None,
        last_empty_us: int | None = None,
        events: int = 0,
        mark: Mark | None = None,
    ) -> None:
        """Record a sign of life, the lease until later, and whatever is given. The fault is over."""
        at_us = now_us()
        until_us = at_us + round(LEASE_S * _US)
        values: dict[str, Any] = {"lease_until_us": until_us, "beat_us": at_us, "fault": None}
        given = {"last_event_us": last_event_us, "last_empty_us": last_empty_us, "revision": self.revision}
        values |= {name: value for name, value in given.items() if value is not None}
        values |= _marked(mark)
        values["events"] = feeds.c.events + events
        self._update(values)
        self._until_us = until_us

    def know_again(self, mark: Mark) -> None:
        """Record what tells the target from any other store. A fault stays."""
        self._update(_marked(mark))

    def act_on(self, revision: int) -> None:
        """Record that nothing is done any more by routes of an earlier revision. A fault stays."""
        self._update({"revision": revision, "beat_us": now_us()})
        self.revision = revision

    def fail(self, fault: str) -> None:
        """Record why the feed stopped."""
        self._update({"fault": fault, "beat_us": now_us()})

    def release(self) -> None:
        """Give the lease back where it is still held: the feed is stopped, and whoever comes next need not wait."""
        with self.control.writing() as connection:
            mine = sa.and_(self._this, feeds.c.owner == self.owner)
            connection.execute(sa.update(feeds).where(mine).values(owner=None, lease_until_us=None))

    @property
    def _this(self) -> sa.ColumnElement[bool]:
        return of_feed(feeds, self.upstream, self.target)

    def _update(self, values: dict[str, Any]) -> None:
        with self.control.writing() as connection:
            mine = sa.and_(self._this, feeds.c.owner == self.owner)
            if connection.execute(sa.update(feeds).where(mine).values(values)).rowcount == 0:
                raise self._taken("another feeder")

    def _taken(self, owner: str) -> FeedTaken:
        process = owner_process(owner)
        label = owner if process is None else process.label
        return FeedTaken(
            f"{self.target} is already being synced from {self.upstream} by {label}",
            todo="stop that feeder first; if it has died, its lease ends within 30 s",
        )


def _marked(mark: Mark | None) -> dict[str, Any]:
    if mark is None:
        return {}
    return {"store_identity": mark.identity, "store_writes": mark.writes, "store_place": mark.place}


def owner_process(owner: str) -> Process | None:
    """The process of a lease's owner; None: an earlier version wrote it, or a person."""
    return Process.parse(_process_text(owner))


def _process_text(owner: str) -> str:
    return owner.rpartition("/")[0]
