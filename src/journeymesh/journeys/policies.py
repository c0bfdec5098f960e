"""Insurance policies, and which of them a vehicle drives under at an instant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from journeymesh.errors import PoliciesInvalid
from journeymesh.instants import to_us
from journeymesh.journeys.fixes import I32, I64
from journeymesh.journeys.local_time import ZoneTable


class PolicyTerm(NamedTuple):
    """What tells one term of a policy from every other. A policy that is renewed under its number has several.

    Two tenants may use one number: a policy is (number, tenant), its terms are told apart by their beginnings.
    """

    number: str
    tenant: str
    valid_from: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A term of an insurance policy, in force for a device or a vehicle during ``[valid_from, valid_to)``.

    ``device`` and ``vehicle`` are matched against a fix's ``vehicle`` id, whichever of the two the source reports.
    ``valid_to`` None means without end. ``zone`` is an IANA time zone name: the clock of night, day and month.
    """

    number: str
    valid_from: datetime
    valid_to: datetime | None = None
    zone: str = "UTC"
    device: str | None = None
    vehicle: str | None = None
    tenant: str = "default"
    product: str = "default"
    status: str = "active"
    declared_annual_distance_m: float | None = None

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise PoliciesInvalid(
                f"policy {self.number}: unknown time zone {self.zone!r}",
                todo="use an IANA name such as Europe/London",
                reason="its time zone is unknown",
            ) from error
        if self.device is None and self.vehicle is None:
            raise PoliciesInvalid(
                f"policy {self.number} names neither a device nor a vehicle",
                todo="give one of them",
                reason="it names neither a device nor a vehicle",
            )
        for name in ("valid_from", "valid_to"):
            instant = getattr(self, name)
            if instant is not None and instant.tzinfo is None:
                raise PoliciesInvalid(f"policy {self.number}: {name} has no time zone", todo="give an aware instant")
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise PoliciesInvalid(
                f"policy {self.number} ends before it begins",
                todo="correct valid_from or valid_to",
                reason="it ends before it begins, or when it begins",
            )

    @property
    def term(self) -> PolicyTerm:
        """The key under which it is kept."""
        return PolicyTerm(self.number, self.tenant, self.valid_from)

    def covers(self, vehicle: str, at: datetime) -> bool:
        """Whether the policy is in force for this device or vehicle at this instant."""
        if vehicle not in (self.device, self.vehicle):
            return False
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)


def both_of(one: Policy, other: Policy) -> str:
    """Two policies by their names, with their tenants where these differ, up to the verb."""
    if one.tenant != other.tenant:
        return f"policy {one.number} of tenant {one.tenant} and policy {other.number} of tenant {other.tenant} are both"
    if one.number == other.number:
        return f"two terms of policy {one.number} are"
    return f"policies {one.number} and {other.number} are both"


def by_time(policy: Policy) -> tuple[datetime, str, str]:
    """Sorts policies by the beginning of their terms."""
    return policy.valid_from, policy.number, policy.tenant


def replaced_by(given: Iterable[Policy], stored: Iterable[Policy]) -> list[Policy]:
    """The stored terms that the given ones take the place of although their keys differ.

    A term of the same policy, for the same device or vehicle at the same time, was given with another beginning before:
    it is corrected, not renewed. Terms that only adjoin stay, and so do those of another tenant's policy, whatever its
    number: nobody takes one over by giving it as theirs.
    """
    terms: set[PolicyTerm] = set()
    by_policy: dict[tuple[str, str], list[Policy]] = {}
    for policy in given:
        terms.add(policy.term)
        by_policy.setdefault((policy.number, policy.tenant), []).append(policy)
    return [
        old
        for old in stored
        if old.term not in terms
        and any(_overlap(old, policy) for policy in by_policy.get((old.number, old.tenant), ()))
    ]


def _overlap(one: Policy, other: Policy) -> bool:
    if not {one.device, one.vehicle} & {other.device, other.vehicle} - {None}:
        return False
    begins_before = one.valid_to is None or other.valid_from < one.valid_to
    return begins_before and (other.valid_to is None or one.valid_from < other.valid_to)


@dataclass(frozen=True, slots=True)
class PolicyTimeline:
    """The policies of a dictionary of vehicles, as columns for the pass.

    Vehicle v has the spans ``first[v]:first[v + 1]``, by time: ``from_us``, ``to_us`` (half-open), the index into
    ``policies`` and the index into ``zones``. Zone 0 is UTC, the clock of journeys outside any policy.
    """

    policies: tuple[Policy, ...]
    zones: ZoneTable
    first: I64
    from_us: I64
    to_us: I64
    policy: I32
    zone: I32


@dataclass(frozen=True, slots=True)
class PoliciesByName:
    """Policies by the device or vehicle that they name, oldest first, so that vehicles find theirs."""

    by_id: Mapping[str, Sequence[tuple[Policy, int, int]]]
    """Each policy with the instants (µs) from which and to which it is in force."""

    @classmethod
    def of(cls, policies: Iterable[Policy]) -> PoliciesByName:
        """The book of these policies."""
        by_id: dict[str, list[tuple[Policy, int, int]]] = {}
        for policy in sorted(policies, key=by_time):
            until = END_OF_TIME_US if policy.valid_to is None else to_us(policy.valid_to)
            for name in {policy.device, policy.vehicle} - {None}:
                by_id.setdefault(str(name), []).append((policy, to_us(policy.valid_from), until))
        return cls(by_id)

    def timeline(self, vehicles: Sequence[str]) -> PolicyTimeline:
        """The timeline of these vehicles (or devices), in the order of the dictionary."""
        return GrowingTimeline(self).of(vehicles)


class GrowingTimeline:
    """The timeline of a dictionary of vehicles that grows: those behind the ones known leave what is said of these."""

    def __init__(self, book: PoliciesByName) -> None:
        self._by_id = book.by_id
        self._used: dict[PolicyTerm, tuple[int, Policy]] = {}
        self._zones: dict[str, int] = {"UTC": 0}
        self._first = [0]
        self._from_us: list[int] = []
        self._to_us: list[int] = []
        self._policy: list[int] = []
        self._zone: list[int] = []

    def of(self, vehicles: Sequence[str]) -> PolicyTimeline:
        """The timeline of these vehicles: those of the last call, in their order, and others behind them."""
        for vehicle in vehicles[len(self._first) - 1 :]:
            for policy, since, until in self._by_id.get(vehicle, ()):
                self._from_us.append(since)
                self._to_us.append(until)
                self._policy.append(self._used.setdefault(policy.term, (len(self._used), policy))[0])
                self._zone.append(self._zones.setdefault(policy.zone, len(self._zones)))
            self._first.append(len(self._from_us))
        return PolicyTimeline(
            tuple(policy for _, policy in self._used.values()),
            ZoneTable.of(tuple(self._zones)),
            np.array(self._first, np.int64),
            np.array(self._from_us, np.int64),
            np.array(self._to_us, np.int64),
            np.array(self._policy, np.int32),
            np.array(self._zone, np.int32),
        )


END_OF_TIME_US = np.iinfo(np.int64).max
