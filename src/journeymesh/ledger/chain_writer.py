"""The one appender of a chain: a thread that writes whatever waits, and one commit for all of it."""

from __future__ import annotations

import logging
import os
import queue
import re
import secrets
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from journeymesh.databases.database import SqlDatabase, now_us
from journeymesh.errors import JourneymeshError, UsageError
from journeymesh.ledger.appending import Row, appending
from journeymesh.ledger.audit_tables import records
from journeymesh.ledger.chain import canonical, genesis, link
from journeymesh.ledger.port import AuditUnwritable, Head

MOST_WAITING: Final = 10_000
"""Records that may wait for a commit; more are refused at once, so that memory is bounded."""
MOST_IN_A_COMMIT: Final = 1_000
BUSY_FROM: Final = 4
GATHERING_S: Final = 0.001
"""Where the commit before had ``BUSY_FROM`` records or more, the next one is so much later: those who were answered by
it come again meanwhile, and share it with those who came during it. Else two crowds take turns, each with commits of
its own."""
MOST_CHARACTERS: Final = 200
"""Of a writer's name, a kind or a key."""

_NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:@-]{{0,{MOST_CHARACTERS - 1}}}")
_log = logging.getLogger(__name__)


class _Waiting(NamedTuple):
    kind: str
    key: str | None
    at_us: int
    body: bytes


class _Commit:
    """Records that become durable together, and the one future of all of them."""

    __slots__ = ("recorded", "records")

    def __init__(self) -> None:
        self.records: list[_Waiting] = []
        self.recorded: Future[None] = Future()
        self.recorded.set_running_or_notify_cancel()  # from here on nobody can cancel it


@lru_cache(256)
def _is_kind(kind: str) -> bool:
    return _NAME.fullmatch(kind) is not None


def name_of_this_run() -> str:
    """A name for a writer that no other run has: this machine, its process and eight random characters."""
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).strip("-._")[:80] or "host"
    return f"{host}:{os.getpid()}:{secrets.token_hex(4)}"


class ChainWriter:
    """Appends to one chain, begun by this writer or continued.

    Nobody else may append under ``name`` at the same time; two that do meet at the table's key, and the later one's
    records fail.

    Raises:
        UsageError: the name is none.
        StoreUnavailable: the database cannot be read.
    """

    def __init__(self, database: SqlDatabase, name: str, *, most_waiting: int = MOST_WAITING) -> None:
        if not _NAME.fullmatch(name):
            raise UsageError(f"audit writer {name!r} is not a valid name", todo="use letters, digits and . _ : @ -")
        self.name = name
        self._database, self._most_waiting = database, most_waiting
        self._appending = appending(database)
        self._last: tuple[Head, int] | None = self._read_last()
        self._queue: queue.SimpleQueue[_Commit | None] = queue.SimpleQueue()
        self._open: _Commit | None = None  # the last of the queue, until it is begun
        self._count = 0
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"audit {name}", daemon=True)
        self._thread.start()

    def append(self, kind: str, body: Mapping[str, Any], *, key: str | None = None) -> Future[None]:
        """Append a record; the future is done when it is durable, or fails with ``AuditUnwritable``. Records that share
        a commit share the future."""
        try:
            if not _is_kind(kind) or (key is not None and not 0 < len(key) <= MOST_CHARACTERS):
                raise ValueError("its kind or its key is not valid")
            waiting = _Waiting(kind, key, now_us(), canonical(body))
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            return self._refused(f"a record cannot be written: {error}", "this is a fault of ours")
        with self._lock:
            if self._closed:
                return self._refused("the writer is closed", "send the request again")
            if self._count >= self._most_waiting:
                return self._refused(f"{self._most_waiting} records wait already", "try again")
            commit = self._open
            if commit is None or len(commit.records) >= MOST_IN_A_COMMIT:
                commit = self._open = _Commit()
                self._queue.put(commit)
            commit.records.append(waiting)
            self._count += 1
            return commit.recorded

    def _refused(self, what: str, todo: str) -> Future[None]:
        refused: Future[None] = Future()
        refused.set_exception(self._unwritable(what, todo))
        return refused

    @property
    def waiting(self) -> int:
        """How many records wait for a commit to begin."""
        return self._count

    def close(self) -> None:
        """Write what is waiting, then stop. Idempotent."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        busy = False
        while (commit := self._queue.get()) is not None:
            if busy:
                time.sleep(GATHERING_S)
            with self._lock:
                if self._open is commit:
                    self._open = None
                self._count -= len(commit.records)
            self._commit(commit)
            busy = len(commit.records) >= BUSY_FROM
        self._appending.close()

    def _commit(self, commit: _Commit) -> None:
        """Write its records; its future is done, or failed, when this returns."""
        fault: AuditUnwritable | None = None
        try:
            last = self._last or self._read_last()
            self._last = None  # not known until the commit is: one that failed may have come through
            rows, last = self._chained(commit.records, *last)
            self._appending.append(rows)
            self._last = last
        except JourneymeshError as error:
            fault = self._unwritable(error.what, error.todo)
            fault.__cause__ = error
        except Exception as error:  # whatever it is, those who wait are told, and the thread goes on
            _log.exception("the audit's writer met a fault of ours")
            fault = self._unwritable(f"{type(error).__name__}", "this is a fault of ours")
            fault.__cause__ = error
        if fault is None:
            commit.recorded.set_result(None)
        else:
            commit.recorded.set_exception(fault)

    def _chained(self, batch: Sequence[_Waiting], head: Head, at_us: int) -> tuple[list[Row], tuple[Head, int]]:
        """The batch as rows, and the chain's last record after them."""
        rows: list[Row] = []
        name, number, digest = self.name, head.number, head.digest
        for waiting in batch:
            number += 1
            at_us = max(at_us, waiting.at_us)
            digest = link(digest, number, at_us, waiting.kind, waiting.key, waiting.body)
            rows.append((name, number, at_us, waiting.kind, waiting.key, waiting.body, digest))
        return rows, (Head(name, number, digest), at_us)

    def _read_last(self) -> tuple[Head, int]:
        """The chain's last record and its instant, as the database has them."""
        mine = sa.select(records.c.number, records.c.digest, records.c.at_us).where(records.c.writer == self.name)
        with self._database.reading() as connection:
            found = connection.execute(mine.order_by(records.c.number.desc()).limit(1)).first()
        if found is None:
            return Head(self.name, 0, genesis(self.name)), 0
        return Head(self.name, found.number, bytes(found.digest)), found.at_us

    def _unwritable(self, what: str, todo: str) -> AuditUnwritable:
        return AuditUnwritable(f"audit {self._database.shown}: {what}", todo=todo)
