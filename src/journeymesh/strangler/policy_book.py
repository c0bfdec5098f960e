"""The policies at hand: which policies a number names, and which policies a vehicle drives under.

The policies of a slice: under which name comparisons of each are recorded, and what is asked to compare it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from journeymesh.errors import JourneymeshError
from journeymesh.following import CLOCK, Clock, Follower
from journeymesh.journeys.policies import Policy, PolicyTerm
from journeymesh.sources.policy_reading import UnusablePolicy
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.questions import JourneysAsked, PolicyAsked, Question
from journeymesh.strangler.slices import Selector

REFRESH_S: Final = 5.0
_SOONEST_S: Final = 0.5
_PAUSE_PER_READ: Final = 9.0


class PoliciesRead(list[Policy]):
    """The policies that could be read. ``unread`` says by side, ``legacy`` or a store's name, why its policies could
    not be; none: these are all. ``last_known`` are policies that could not be read, as they were when somebody last
    could; those of the same term go before them. ``unusable`` are legacy's that are none; None: legacy was not read.
    """

    def __init__(
        self,
        policies: Iterable[Policy] = (),
        unread: Mapping[str, JourneymeshError] | None = None,
        last_known: Iterable[Policy] = (),
        unusable: Sequence[UnusablePolicy] | None = None,
    ) -> None:
        super().__init__(policies)
        self.unusable = unusable
        self.unread = dict(unread or {})
        self.last_known = list(last_known)

    @property
    def fault(self) -> JourneymeshError | None:
        """Why there may be more; None: these are all."""
        return next(iter(self.unread.values()), None)


@dataclass(frozen=True, slots=True)
class HeldPolicies:
    """The policies as they were read at one time."""

    by_number: dict[str, tuple[Policy, ...]]
    """The terms of the policies with a number, by tenant and beginning."""
    by_vehicle: dict[str, tuple[Policy, ...]]
    every: tuple[Policy, ...] = ()
    missing: JourneymeshError | None = None
    """Why there may be others that were never read; None: these are all."""

    @classmethod
    def of(cls, policies: Iterable[Policy], missing: JourneymeshError | None = None) -> HeldPolicies:
        """These policies; of two with one term the first counts."""
        by_term: dict[PolicyTerm, Policy] = {}
        for policy in policies:
            by_term.setdefault(policy.term, policy)
        by_number: dict[str, list[Policy]] = {}
        by_vehicle: dict[str, list[Policy]] = {}
        for policy in by_term.values():
            by_number.setdefault(policy.number, []).append(policy)
            for name in vehicles_of(policy):
                by_vehicle.setdefault(name, []).append(policy)
        return cls(
            {number: tuple(sorted(held, key=_by_term)) for number, held in by_number.items()},
            {name: tuple(held) for name, held in by_vehicle.items()},
            tuple(by_term.values()),
            missing,
        )

    def terms(self, number: str | None = None, tenant: str | None = None) -> tuple[Policy, ...]:
        """The terms of the policies with this number, or of all, by number, tenant and beginning."""
        if number is None:
            return tuple(policy for key in sorted(self.by_number) for policy in self.by_number[key])
        held = self.by_number.get(number, ())
        return held if tenant is None else tuple(policy for policy in held if policy.tenant == tenant)


def _by_term(policy: Policy) -> PolicyTerm:
    return policy.term


def vehicles_of(policy: Policy) -> tuple[str, ...]:
    """The names under which the policy's vehicle may be reported."""
    device, vehicle = policy.device, policy.vehicle
    if device is None or device == vehicle:
        return () if vehicle is None else (vehicle,)
    return (device,) if vehicle is None else (device, vehicle)


@dataclass(slots=True)
class PolicyBook(Follower):
    """Keeps the policies at hand, read anew every ``every_s`` seconds. Started by ``with``.

    ``read`` gives all of them, or those that can be read (``PoliciesRead``). Those that it could not read count as
    they were read before; where they never were, what is not at hand is not unknown but cannot be said.
    """

    read: Callable[[], Iterable[Policy]]
    only: Callable[[Iterable[Policy]], Iterable[Policy]] | None = None
    """Which of those that are read, or were before, may be kept: policies that were erased may not. None: all."""
    every_s: float = REFRESH_S
    clock: Clock = CLOCK
    fault: JourneymeshError | None = None
    """Why the last reading failed, or did not give all; None: it gave all."""
    _held: HeldPolicies | None = None
    _reading: threading.Lock = field(default_factory=threading.Lock)
    _wake: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        """Stop reading."""
        self.stopping.set()
        self._wake.set()
        Follower.close(self)

    def now(self) -> HeldPolicies:
        """The policies as they were read last.

        Raises:
            JourneymeshError: they could never be read.
        """
        return self._held or self.refresh()

    def terms(self, number: str, tenant: str | None = None) -> tuple[Policy, ...]:
        """The terms of the policies with this number, of this tenant or of every one, by tenant and beginning; where
        there are none they are looked for again soon.

        Raises:
            JourneymeshError: there are none among those that could ever be read, which are not all.
        """
        found = self.known(number, tenant)
        if not found:
            self.look_again()
            self._all_or_fault()
        return found

    def known(self, number: str, tenant: str | None = None) -> tuple[Policy, ...]:
        """The same as ``terms``, and nothing is looked for again."""
        return self.now().terms(number, tenant)

    def look_again(self) -> None:
        """Let the policies be read anew soon."""
        self._wake.set()

    def every(self) -> Sequence[Policy]:
        """All of them. While they are the same policies it is the same object, however often they are read.

        Raises:
            JourneymeshError: some could never be read.
        """
        return self._all_or_fault().every

    def all_terms(self) -> tuple[Policy, ...]:
        """All of them, by number, tenant and beginning.

        Raises:
            JourneymeshError: some could never be read.
        """
        return self._all_or_fault().terms()

    def of_vehicles(self, names: Sequence[str]) -> list[Policy]:
        """Every policy that names one of these vehicles."""
        held = self.now().by_vehicle
        return list({policy.term: policy for name in names for policy in held.get(name, ())}.values())

    def tick(self) -> None:
        """Read them.

        Raises:
            JourneymeshError: none can be read; ``fault`` says so, too.
        """
        self.refresh()

    def refresh(self) -> HeldPolicies:
        """Read them now.

        Raises:
            JourneymeshError: none can be read.
        """
        with self._reading:
            try:
                found = self.read()
            except JourneymeshError as error:
                self.fault = error
                raise
            self.fault = getattr(found, "fault", None)
            last_known = getattr(found, "last_known", ())
            before = self._held
            if self.fault is None or before is None:
                every, missing = [*found, *last_known], self.fault
            else:
                every, missing = [*found, *before.every, *last_known], before.missing
            held = HeldPolicies.of(every if self.only is None else self.only(every), missing)
            if before is None or (before.every, before.missing) != (held.every, held.missing):
                self._held = held  # else the former object stays: what was made of its policies is right still
            return self._held or held

    def _all_or_fault(self) -> HeldPolicies:
        held = self.now()
        if held.missing is not None:
            raise held.missing
        return held

    def follow(self) -> None:
        """Read them anew every ``every_s`` seconds, and soon after they were to be looked at again."""
        took_s = 0.0
        while not self.stopping.is_set():
            # Unknown numbers do not make it read without end: it reads a tenth of the time at most.
            pause_s = max(_SOONEST_S, _PAUSE_PER_READ * took_s)
            self.clock.wait(self.stopping, pause_s)
            self.clock.wait(self._wake, max(self.every_s - pause_s, 0.0))
            self._wake.clear()
            if not self.stopping.is_set():
                began_s = self.clock.now_s()
                with contextlib.suppress(JourneymeshError):  # ``fault`` says so
                    self.tick()
                took_s = self.clock.now_s() - began_s


@dataclass(frozen=True, slots=True)
class Member:
    """A policy of a slice. ``terms`` are those of its terms that the slice holds; ``whole`` says that it holds all of
    them, and that no other tenant has a policy of the number."""

    name: str
    terms: tuple[Policy, ...]
    whole: bool

    def questions(self) -> tuple[Question, Question]:
        """What both sides are asked to compare it: for the policy, and for its journeys."""
        number, tenant = self.terms[0].number, self.terms[0].tenant
        if self.whole:
            return PolicyAsked(number), JourneysAsked(JourneyQuery(policy=number))
        begins = tuple(policy.valid_from for policy in self.terms)
        return PolicyAsked(number, tenant), JourneysAsked(JourneyQuery(policy=number, tenant=tenant, terms=begins))


def recorded_name(policy: Policy, of_number: Iterable[Policy]) -> str:
    """The policy's number; with its tenant where another tenant is among those of the number."""
    shared = any(other.tenant != policy.tenant for other in of_number)
    return f"{policy.number} of {policy.tenant}" if shared else policy.number


def members_of(selector: Selector, policies: Sequence[Policy]) -> list[Member]:
    """The policies, among all there are, with a term in the slice."""
    by_number: dict[str, list[Policy]] = {}
    for policy in policies:
        by_number.setdefault(policy.number, []).append(policy)
    found = []
    for terms in by_number.values():
        for tenant in dict.fromkeys(policy.tenant for policy in terms):
            own = tuple(policy for policy in terms if policy.tenant == tenant and selector.holds(policy))
            if own:
                found.append(Member(recorded_name(own[0], terms), own, len(own) == len(terms)))
    return found
