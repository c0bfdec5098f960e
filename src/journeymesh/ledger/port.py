"""The port of the audit: what is written before data leaves, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from journeymesh.errors import JourneymeshError


class AuditUnwritable(JourneymeshError):
    """The audit cannot be written, so nothing may leave."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One record of one writer's chain.

    ``digest`` is taken over the previous record's digest, ``number`` (from 1, without gaps), ``at_us`` (this machine's
    clock, microseconds since 1970 UTC, never behind the record before), ``kind``, ``key`` and the body's canonical
    JSON; the writer's name is what the first record's ``previous`` is taken over.
    """

    writer: str
    number: int
    at_us: int
    kind: str
    body: Mapping[str, Any]
    previous: bytes
    digest: bytes
    key: str | None = None

    @property
    def place(self) -> AuditPlace:
        """Where it stands among all writers' records."""
        return AuditPlace(self.at_us, self.writer, self.number)


class AuditPlace(NamedTuple):
    """Where a record stands among all writers' records: by instant, then writer, then number."""

    at_us: int
    writer: str
    number: int


@dataclass(frozen=True, slots=True)
class Head:
    """The last record of a chain."""

    writer: str
    number: int
    digest: bytes


class AuditWriter(Protocol):
    """The one appender of a chain. Safe for several threads; many records share a commit."""

    def append(self, kind: str, body: Mapping[str, Any], *, key: str | None = None) -> Future[None]:
        """Append a record; the future is done when it is durable, and fails with ``AuditUnwritable`` where it is not.

        ``key`` is what the record can be found by, such as a decision's id. At once; raises nothing.
        """

    def close(self) -> None:
        """Write what is waiting, then stop. Idempotent."""
