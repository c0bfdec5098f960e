"""Where sessions are kept: rows by a digest of the session's id, whose content only the id opens.

An adapter knows neither ids nor content. Instants are microseconds since 1970 UTC, by the clock of who calls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

import sqlalchemy as sa

from journeymesh.databases.database import SqlDatabase
from journeymesh.identity.session_tables import sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A session as it is kept.

    - ``name``: what it is found by; ``person``, ``subject``, ``sid``: keyed digests of whose it is, and of what the
      provider calls them and the session (None: begun without a provider)
    - ``seen_us``: its last use, a little rounded; ``ends_us``: its end at the latest
    - ``generation``: how often ``content`` was renewed; ``renewing_until_us``: how long its renewal is taken
    """

    name: bytes
    person: bytes
    subject: bytes | None = None
    sid: bytes | None = None
    seen_us: int
    ends_us: int
    generation: int = 0
    renewing_until_us: int = 0
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionBounds:
    """How many sessions there are, in all and of one person, and how long one lasts that nobody uses."""

    most: int
    most_per_person: int
    idle_us: int


class SessionRows(Protocol):
    """The port. Safe for several threads and processes. What cannot be reached raises ``StoreUnavailable``."""

    blocks: bool
    """Whether a call may take time, so that an event loop should make it in a thread."""

    def add(self, row: SessionRow, bounds: SessionBounds, now_us: int) -> None:
        """Keep this session. Those that have ended go, and beyond a bound those that were used longest ago."""

    def get(self, name: bytes) -> SessionRow | None:
        """The row of this name, ended or not; None: there is none."""

    def touch(self, name: bytes, seen_us: int) -> None:
        """It was used then, if it is still there."""

    def claim_renewal(self, row: SessionRow, now_us: int, until_us: int) -> bool:
        """Whether the caller is the one who renews this generation, until then. One alone is."""

    def renew(self, name: bytes, generation: int, content: bytes) -> bool:
        """The content that follows this generation; False: the session is gone, or was renewed by another."""

    def remove(self, name: bytes) -> None:
        """Let it be gone."""

    def remove_of(self, *, sid: bytes | None, subject: bytes | None) -> list[bytes]:
        """Remove the sessions of this ``sid``, without one all of ``subject``; their names."""

    def remove_ended(self, now_us: int, idle_us: int) -> int:
        """Remove what has ended; how many were."""

    def __len__(self) -> int: ...


class MemorySessionRows:
    """Sessions of one process."""

    blocks = False

    def __init__(self) -> None:
        self._rows: dict[bytes, SessionRow] = {}
        self._lock = threading.Lock()

    def add(self, row: SessionRow, bounds: SessionBounds, now_us: int) -> None:
        """Keep this session, within the bounds."""
        with self._lock:
            if len(self._rows) >= bounds.most:
                self._remove_ended(now_us, bounds.idle_us)
            theirs = sorted((each for each in self._rows.values() if each.person == row.person), key=_used)
            for each in theirs[: max(0, len(theirs) + 1 - bounds.most_per_person)]:
                del self._rows[each.name]
            while len(self._rows) >= bounds.most:
                del self._rows[min(self._rows.values(), key=_used).name]
            self._rows[row.name] = row

    def get(self, name: bytes) -> SessionRow | None:
        """The row of this name."""
        return self._rows.get(name)

    def touch(self, name: bytes, seen_us: int) -> None:
        """It was used then."""
        self._change(lambda row: replace(row, seen_us=max(row.seen_us, seen_us)), name)

    def claim_renewal(self, row: SessionRow, now_us: int, until_us: int) -> bool:
        """Whether the caller is the one who renews."""

        def claim(kept: SessionRow) -> SessionRow | None:
            free = kept.generation == row.generation and kept.renewing_until_us <= now_us
            return replace(kept, renewing_until_us=until_us) if free else None

        return self._change(claim, row.name)

    def renew(self, name: bytes, generation: int, content: bytes) -> bool:
        """The content that follows."""

        def follow(kept: SessionRow) -> SessionRow | None:
            if kept.generation != generation:
                return None
            return replace(kept, generation=generation + 1, renewing_until_us=0, content=content)

        return self._change(follow, name)

    def remove(self, name: bytes) -> None:
        """Let it be gone."""
        with self._lock:
            self._rows.pop(name, None)

    def remove_of(self, *, sid: bytes | None, subject: bytes | None) -> list[bytes]:
        """Remove the sessions of this ``sid``, without one all of ``subject``."""
        with self._lock:
            if sid is None and subject is None:
                return []
            ended = [
                each.name
                for each in self._rows.values()
                if (each.sid == sid if sid is not None else each.subject == subject)
            ]
            for name in ended:
                del self._rows[name]
            return ended

    def remove_ended(self, now_us: int, idle_us: int) -> int:
        """Remove what has ended."""
        with self._lock:
            return self._remove_ended(now_us, idle_us)

    def __len__(self) -> int:
        return len(self._rows)

    def _remove_ended(self, now_us: int, idle_us: int) -> int:
        ended = [row.name for row in self._rows.values() if row.ends_us <= now_us or row.seen_us <= now_us - idle_us]
        for name in ended:
            del self._rows[name]
        return len(ended)

    def _change(self, change: Callable[[SessionRow], SessionRow | None], name: bytes) -> bool:
        """Put what ``change`` makes of the row in its place; False: there is none, or it made nothing."""
        with self._lock:
            row = self._rows.get(name)
            changed = None if row is None else change(row)
            if changed is not None:
                self._rows[name] = changed
            return changed is not None


def _used(row: SessionRow) -> int:
    return row.seen_us


class SqlSessionRows:
    """Sessions in a SQL database, shared by all who use it."""

    blocks = True

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def add(self, row: SessionRow, bounds: SessionBounds, now_us: int) -> None:
        """Keep this session, within the bounds: sessions begin one after the other."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(sessions).where(_ended(now_us, bounds.idle_us)))
            theirs = sessions.c.person == row.person
            _leave(connection, bounds.most_per_person - 1, theirs)
            _leave(connection, bounds.most - 1, sa.true())
            connection.execute(sa.insert(sessions).values(**asdict(row)))

    def get(self, name: bytes) -> SessionRow | None:
        """The row of this name."""
        with self._database.faults(), self._database.engine().connect() as connection:
            found = connection.execute(sa.select(sessions).where(sessions.c.name == name)).mappings().one_or_none()
        return None if found is None else SessionRow(**found)

    def touch(self, name: bytes, seen_us: int) -> None:
        """It was used then."""
        self._update(sa.update(sessions).where(sessions.c.name == name, sessions.c.seen_us < seen_us), seen_us=seen_us)

    def claim_renewal(self, row: SessionRow, now_us: int, until_us: int) -> bool:
        """Whether the caller is the one who renews."""
        free = (sessions.c.generation == row.generation, sessions.c.renewing_until_us <= now_us)
        this = sa.update(sessions).where(sessions.c.name == row.name, *free)
        return self._update(this, renewing_until_us=until_us)

    def renew(self, name: bytes, generation: int, content: bytes) -> bool:
        """The content that follows."""
        this = sa.update(sessions).where(sessions.c.name == name, sessions.c.generation == generation)
        return self._update(this, generation=generation + 1, renewing_until_us=0, content=content)

    def remove(self, name: bytes) -> None:
        """Let it be gone."""
        with self._database.writing(alone=False) as connection:
            connection.execute(sa.delete(sessions).where(sessions.c.name == name))

    def remove_of(self, *, sid: bytes | None, subject: bytes | None) -> list[bytes]:
        """Remove the sessions of this ``sid``, without one all of ``subject``."""
        if sid is None and subject is None:
            return []
        theirs = sessions.c.sid == sid if sid is not None else sessions.c.subject == subject
        with self._database.writing() as connection:
            removed = connection.execute(sa.delete(sessions).where(theirs).returning(sessions.c.name))
            return list(removed.scalars())

    def remove_ended(self, now_us: int, idle_us: int) -> int:
        """Remove what has ended."""
        with self._database.writing() as connection:
            return int(connection.execute(sa.delete(sessions).where(_ended(now_us, idle_us))).rowcount)

    def __len__(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(sessions)).scalar_one())

    def _update(self, statement: sa.Update, **values: object) -> bool:
        """Whether there was such a row."""
        with self._database.writing(alone=False) as connection:
            return connection.execute(statement.values(**values)).rowcount == 1


def _ended(now_us: int, idle_us: int) -> sa.ColumnElement[bool]:
    return sa.or_(sessions.c.ends_us <= now_us, sessions.c.seen_us <= now_us - idle_us)


def _leave(connection: sa.Connection, count: int, those: sa.ColumnElement[bool]) -> None:
    """Remove all of those but so many, which were used last."""
    last_used = sa.select(sessions.c.name).where(those).order_by(sessions.c.seen_us.desc(), sessions.c.name)
    connection.execute(sa.delete(sessions).where(sessions.c.name.in_(last_used.offset(count))))
