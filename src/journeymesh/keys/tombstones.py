"""Tombstones of treated terms: what may neither be answered nor come back, found by tokens under a key of their own.

They outlive restored backups: they stand apart from the data and its keys, and a service that lacks the newest of them
is not ready.
"""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from journeymesh.databases.database import now_us, put_row
from journeymesh.errors import StoreUnavailable, UsageError
from journeymesh.instants import to_us
from journeymesh.journeys.policies import END_OF_TIME_US, Policy
from journeymesh.keys.derivations import SECRET_BYTES, CommonKey
from journeymesh.keys.port import KeyStore
from journeymesh.keys.tombstone_tables import (
    MIGRATE,
    TombstoneDatabase,
    policies,
    refused_input,
    state,
    treatments,
    vehicles,
)

Intervals = tuple[tuple[int, int], ...]
"""Half-open intervals in µs since 1970 UTC, by their beginnings."""
_DAY_US: Final = 86_400_000_000
_FOREVER_US: Final = int(END_OF_TIME_US)
_NO_TENANT: Final = "default"
"""The tenant of a policy whose source names none."""
_MOST_CHARACTERS, _MOST_VALUES, _MOST_TENANTS = 256, 1000, 64
"""What of an input may be a number, and how many of its values are looked at as numbers and as tenants."""


class TombstonesNotReady(StoreUnavailable):
    """The tombstones are missing, of another key, or older than the key store: nothing is answered or taken."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A treated term, in clear: for as long as it takes to be written.

    ``last_journey_ended_us`` is the end of its last journey; None: it had none.
    """

    policy: Policy = field(repr=False)
    last_journey_ended_us: int | None = None

    @property
    def interval(self) -> tuple[int, int]:
        """When the term was in force, ``[from, to)`` in µs."""
        return to_us(self.policy.valid_from), _until(self.policy)

    @property
    def vehicle_interval(self) -> tuple[int, int]:
        """The fixes of its vehicle and device that are refused: those up to the end of its last journey as well."""
        since, until = self.interval
        return since, until if self.last_journey_ended_us is None else max(until, self.last_journey_ended_us + 1)

    @property
    def vehicles(self) -> tuple[str, ...]:
        """Vehicle and device, by which fixes name it."""
        return tuple(sorted({name for name in (self.policy.vehicle, self.policy.device) if name is not None}))


@dataclass(frozen=True, slots=True)
class _Read:
    """All tombstones of one revision, by token."""

    revision: int
    policies: Mapping[str, Intervals]
    vehicles: Mapping[str, Intervals]


def tombstone_key(path: str | Path) -> CommonKey:
    """The key in this file: 64 hexadecimal digits, readable by its owner (and, where it is mounted, his group) alone.

    Raises:
        UsageError: there is none, or others may read it.
    """
    try:
        if stat.S_IMODE(Path(path).stat().st_mode) & 0o007:
            raise UsageError(f"the key of tombstones {path} may be read by others", todo=f"chmod 600 {path}")
        secret = bytes.fromhex(Path(path).read_text("ascii").strip())
    except OSError as error:
        raise UsageError(f"the key of tombstones {path}: {error.strerror}", todo=_MAKE) from error
    except ValueError:  # not chained: what could not be decoded is the key
        raise UsageError(f"the key of tombstones {path} is not hexadecimal", todo=_MAKE) from None
    if len(secret) < SECRET_BYTES:
        raise UsageError(f"the key of tombstones {path} has {len(secret)} bytes, {SECRET_BYTES} are needed", todo=_MAKE)
    return CommonKey(secret, 1)


class Tombstones:
    """The tombstones in one database, under one key. Safe for several threads; every question sees the newest."""

    def __init__(self, database: TombstoneDatabase, key: CommonKey) -> None:
        self._database, self._key = database, key
        self._lock = threading.Lock()
        self._kept: _Read | None = None

    def migrate(self) -> None:
        """Create or upgrade the tables. Idempotent.

        Raises:
            TombstonesNotReady: there are some that another key made.
        """
        self._database.migrate()
        with self._database.writing() as connection:
            if connection.execute(sa.select(state)).first() is None:
                row = {"one": 1, "key_check": self._key_check(), "revision": 1}
                connection.execute(sa.insert(state).values(row))
        self._current()

    def add(self, treatment_id: str, tombstones: Iterable[Tombstone]) -> None:
        """Write the tombstones of this treatment, and that there was one. Durable when it returns; idempotent.

        An interval that is there already becomes the longer of both.
        """
        self._current()
        with self._database.writing() as connection:
            for tombstone in tombstones:
                policy = tombstone.policy
                _put(connection, policies, self._policy_token(policy), (*tombstone.interval, treatment_id))
                for vehicle in tombstone.vehicles:
                    token = self._vehicle_token(vehicle)
                    _put(connection, vehicles, token, (*tombstone.vehicle_interval, treatment_id))
            this = treatments.c.treatment_id == treatment_id
            if connection.execute(sa.select(treatments).where(this)).first() is None:
                connection.execute(sa.insert(treatments).values(treatment_id=treatment_id, at_us=now_us()))
            connection.execute(sa.update(state).values(revision=state.c.revision + 1))

    def refuses_policy(self, policy: Policy) -> bool:
        """Whether a treated term of this tenant and number overlaps this one, whatever bounds it is given by now."""
        return not self.without_treated([policy])

    def without_treated(self, policies_: Iterable[Policy]) -> list[Policy]:
        """Those of the policies that no treated term overlaps. The tombstones are looked at once for all."""
        kept = self._current().policies
        if not kept:
            return list(policies_)

        def is_treated(policy: Policy) -> bool:
            intervals = kept.get(self._policy_token(policy), ())
            return _overlaps(intervals, to_us(policy.valid_from), _until(policy))

        return [policy for policy in policies_ if not is_treated(policy)]

    def naming_treated(self, inputs: Iterable[Sequence[str]], tenants: Iterable[str] = ()) -> list[bool]:
        """For each of these inputs, by its values, whether it has the number of a treated policy and its tenant among
        them. ``tenants`` are those that an input need not name; the tenant of whoever names none is one of them.

        Of an input with very many values the first are looked at. The tombstones are looked at once for all.
        """
        kept = self._current().policies
        known = dict.fromkeys((_NO_TENANT, *tenants))

        def names_one(values: Sequence[str]) -> bool:
            texts = list(islice(dict.fromkeys(text for text in values if len(text) <= _MOST_CHARACTERS), _MOST_VALUES))
            of_tenants = dict.fromkeys((*known, *texts[:_MOST_TENANTS]))
            return any(self._token_of(tenant, number) in kept for number in texts for tenant in of_tenants)

        return [bool(kept) and names_one(values) for values in inputs]

    def refused_intervals(self, vehicle: str) -> Intervals:
        """When fixes, journeys and refusals of this vehicle or device are refused."""
        return self._current().vehicles.get(self._vehicle_token(vehicle), ())

    def refused_intervals_of(self, names: Sequence[str]) -> dict[str, Intervals]:
        """Those of the vehicles or devices that anything is refused of, and when."""
        kept = self._current().vehicles
        if not kept:
            return {}
        found = ((name, kept.get(self._vehicle_token(name))) for name in dict.fromkeys(names))
        return {name: intervals for name, intervals in found if intervals is not None}

    def revision(self) -> int:
        """Grows with every run: whoever remembers what was answered before forgets it when this has grown.

        Raises:
            TombstonesNotReady: they are missing, or of another key.
        """
        return self._current().revision

    def is_empty(self) -> bool:
        """Whether there is none."""
        kept = self._current()
        return not kept.policies and not kept.vehicles

    def count(self) -> int:
        """How many terms were treated."""
        return sum(len(intervals) for intervals in self._current().policies.values())

    def count_refused(self, rows: Mapping[str, int]) -> None:
        """Add what was refused just now, by kind of input.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        day = now_us() // _DAY_US
        with self._database.writing() as connection:
            for kind, count in rows.items():
                if count:
                    more = {"rows": refused_input.c.rows + count}
                    put_row(connection, refused_input, {"day": day, "kind": kind}, more, {"rows": count})

    def refused(self) -> dict[str, int]:
        """How many rows of input were refused since there are tombstones, by kind.

        Raises:
            TombstonesNotReady: they are missing, or of another key.
        """
        self._current()
        by_kind = sa.select(refused_input.c.kind, sa.func.sum(refused_input.c.rows)).group_by(refused_input.c.kind)
        with self._database.reading() as connection:
            return {kind: int(rows) for kind, rows in connection.execute(by_kind)}

    def require_ready(self, key_store: KeyStore | None = None) -> None:
        """Refuse tombstones that are missing, of another key, or older than the last treatment of the key store.

        Raises:
            TombstonesNotReady: saying which.
        """
        self._current()
        if key_store is None:
            return
        with self._database.reading() as connection:
            known = set(connection.execute(sa.select(treatments.c.treatment_id)).scalars())
        missing = [each for each in key_store.treatments() if each.treatment_id not in known]
        if missing:
            at = missing[-1].finished_at.isoformat(timespec="seconds")
            raise TombstonesNotReady(
                f"tombstones {self._database.shown} are older than the key store: of {len(missing)} treatments, the "
                f"last of {at}, they know nothing",
                todo="restore the newest tombstones",
            )

    def close(self) -> None:
        """Release connections. Idempotent."""
        self._database.close()

    def _current(self) -> _Read:
        try:
            with self._database.reading() as connection:
                stands = connection.execute(sa.select(state)).first()
                if stands is None:
                    raise TombstonesNotReady(f"tombstones {self._database.shown} are empty", todo=MIGRATE)
                if stands.key_check != self._key_check():
                    raise TombstonesNotReady(
                        f"tombstones {self._database.shown} were made with another key", todo="give the key they have"
                    )
                with self._lock:
                    if self._kept is None or self._kept.revision != stands.revision:
                        self._kept = _Read(
                            stands.revision, _intervals(connection, policies), _intervals(connection, vehicles)
                        )
                    return self._kept
        except TombstonesNotReady:
            raise
        except StoreUnavailable as error:
            raise TombstonesNotReady(
                f"tombstones {self._database.shown} cannot be read", todo=error.todo or MIGRATE
            ) from error

    def _key_check(self) -> str:
        return self._key.token("check")

    def _policy_token(self, policy: Policy) -> str:
        return self._token_of(policy.tenant, policy.number)

    def _token_of(self, tenant: str, number: str) -> str:
        return self._key.token("policy", tenant, number)

    def _vehicle_token(self, name: str) -> str:
        return self._key.token("vehicle", name)


def _put(connection: sa.Connection, table: sa.Table, token: str, values: tuple[int, int, str]) -> None:
    since, until, treatment_id = values
    this = sa.and_(table.c.token == token, table.c.from_us == since)
    there = connection.execute(sa.select(table.c.to_us).where(this)).scalar()
    if there is None:
        row = {"token": token, "from_us": since, "to_us": until, "treatment_id": treatment_id}
        connection.execute(sa.insert(table).values(row))
    elif there < until:
        connection.execute(sa.update(table).where(this).values(to_us=until))


def _intervals(connection: sa.Connection, table: sa.Table) -> dict[str, Intervals]:
    grouped: dict[str, list[tuple[int, int]]] = {}
    asked: sa.Select[Any] = sa.select(table.c.token, table.c.from_us, table.c.to_us).order_by(table.c.from_us)
    for token, since, until in connection.execute(asked):
        grouped.setdefault(token, []).append((since, until))
    return {token: tuple(intervals) for token, intervals in grouped.items()}


def _overlaps(intervals: Intervals, since: int, until: int) -> bool:
    return any(since < to and from_ < until for from_, to in intervals)


def _until(policy: Policy) -> int:
    return _FOREVER_US if policy.valid_to is None else to_us(policy.valid_to)


_MAKE: Final = "make one with: (umask 077; openssl rand -hex 32 > FILE), once, and keep it apart from all databases"
